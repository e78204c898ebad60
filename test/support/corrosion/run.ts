import type { SQLInputValue, SQLOutputValue } from "node:sqlite"
import { cellsOf, messageOf, SqlError } from "./Database.ts"
import type { Database, Prepared } from "./Database.ts"
import type { Cell } from "./json.ts"
import type { Statement } from "./statement.ts"

/** The statements of clients, as Corrosion runs them. */

type Arguments = [Record<string, SQLInputValue>, ...Array<SQLInputValue>]

const toArguments = (names: ReadonlyArray<string | undefined>, values: ReadonlyArray<Cell>): Arguments => {
  const named: Record<string, SQLInputValue> = {}
  const unnamed: Array<SQLInputValue> = []
  for (const [index, name] of names.entries()) {
    const value = values[index] ?? null
    if (name === undefined) unnamed.push(value)
    else named[name] = value
  }
  return [named, ...unnamed]
}

/**
 * What to bind. Throws a SqlError when the values are not what the statement has parameters for; `lenient` accepts too
 * few and unknown names, as a subscription does.
 */
const bind = (prepared: Prepared, { params }: Statement, lenient = false): Arguments => {
  const { parameters: names } = prepared
  if (params._tag === "Named") {
    const unknown = [...params.values.keys()].find((name) => !names.includes(name))
    if (unknown !== undefined && !lenient) throw new SqlError("bind", `Invalid parameter name: ${unknown}`)
    return toArguments(
      names,
      names.map((name) => (name === undefined ? null : (params.values.get(name) ?? null)))
    )
  }
  const values = params._tag === "None" ? [] : params.values
  if (values.length > names.length || (values.length < names.length && !lenient)) {
    throw new SqlError(
      "bind",
      `Wrong number of parameters passed to query. Got ${values.length}, needed ${names.length}`
    )
  }
  return toArguments(names, values)
}

/** Runs a statement that gives no rows; the rows that it affected. Throws a SqlError. */
export const execute = (database: Database, statement: Statement): number => {
  const prepared = database.prepare(statement.sql)
  if (prepared.columns.length > 0) {
    throw new SqlError("run", "Execute returned results - did you mean to call query?")
  }
  const values = bind(prepared, statement)
  try {
    return Number(prepared.statement.run(...values).changes)
  } catch (error) {
    throw new SqlError("run", messageOf(error))
  }
}

/** Runs a statement that only reads. Throws a SqlError. */
export const select = (
  database: Database,
  statement: Statement
): { readonly columns: ReadonlyArray<string>; readonly rows: ReadonlyArray<ReadonlyArray<Cell>> } => {
  const prepared = database.prepare(statement.sql)
  if (prepared.writes) throw new SqlError("prepare", "statement is not readonly")
  const values = bind(prepared, statement)
  try {
    return { columns: prepared.columns, rows: cellsOf(prepared.statement.all(...values)) }
  } catch (error) {
    throw new SqlError("run", messageOf(error))
  }
}

/** The text of a statement with its values written into it. Throws a SqlError. */
export const expand = (database: Database, statement: Statement): string => {
  const prepared = database.prepare(statement.sql)
  if (prepared.writes) throw new SqlError("prepare", "statement is not readonly")
  const values = bind(prepared, statement, true)
  const running: Iterator<Record<string, SQLOutputValue>> = prepared.statement.iterate(...values)
  const text = prepared.statement.expandedSQL
  running.return?.()
  return text
}
