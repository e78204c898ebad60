import type { Table } from "./crr.ts"
import { quote, tokens } from "./sqlText.ts"
import type { Token } from "./sqlText.ts"

/** A table in the FROM clause under the name it has there. */
interface Source {
  readonly table: string
  readonly alias: string
}

/** A subscription's statement as it is evaluated: the primary keys of all its tables come before what it selects. */
export interface Keyed {
  readonly tables: ReadonlySet<string>
  readonly keys: number
  /** All rows. */
  readonly all: string
  /** The row of one primary key; only for a statement over one table, once. */
  readonly one: string | undefined
}

const AFTER_FROM = new Set(["WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT"])
const COMPOUND = new Set(["UNION", "EXCEPT", "INTERSECT"])
const NO_ALIAS = new Set("JOIN INNER LEFT RIGHT FULL OUTER CROSS NATURAL ON USING INDEXED NOT".split(" "))

const keyword = (token: Token | undefined): string | undefined =>
  token?.kind === "word" ? token.text.toUpperCase() : undefined

const identifier = (token: Token | undefined): string | undefined => {
  if (token?.kind === "word") return token.text
  if (token?.kind !== "quoted") return undefined
  const inner = token.text.slice(1, -1)
  return token.text.startsWith('"') ? inner.replaceAll('""', '"') : inner
}

const sourceAt = (found: ReadonlyArray<Token>, at: number): Source | undefined => {
  const qualified = found[at + 1]?.text === "."
  const table = identifier(found[qualified ? at + 2 : at])
  if (table === undefined) return undefined
  const after = at + (qualified ? 3 : 1)
  const as = keyword(found[after]) === "AS"
  const word = found[as ? after + 1 : after]
  const isAlias = as || (!NO_ALIAS.has(keyword(word) ?? "") && !AFTER_FROM.has(keyword(word) ?? ""))
  return { table, alias: (isAlias ? identifier(word) : undefined) ?? table }
}

const sources = (found: ReadonlyArray<Token>): ReadonlyArray<Source> => {
  const top = found.filter(({ depth }) => depth === 0)
  const from = top.findIndex((token) => keyword(token) === "FROM")
  if (from < 0) return []
  const rest = top.slice(from + 1)
  const end = rest.findIndex((token) => AFTER_FROM.has(keyword(token) ?? "") || token.text === ";")
  const clause = end < 0 ? rest : rest.slice(0, end)
  return clause.flatMap((token, index) => {
    const opens = index === 0 || clause[index - 1]?.text === "," || keyword(clause[index - 1]) === "JOIN"
    const source = opens ? sourceAt(clause, index) : undefined
    return source === undefined || token.text === "(" ? [] : [source]
  })
}

/** Throws an Error with the agent's words when the statement can't be subscribed to. */
export const keyed = (sql: string, schema: ReadonlyMap<string, Table>): Keyed => {
  const found = tokens(sql)
  const [first, second] = found
  if (first === undefined) throw new Error("a statement is required")
  if (keyword(first) !== "SELECT" || found.some((token) => token.depth === 0 && COMPOUND.has(keyword(token) ?? ""))) {
    throw new Error("unsupported statement")
  }
  const inTable = found.some(
    (token, index) => keyword(token) === "IN" && found[index + 1] !== undefined && found[index + 1]?.text !== "("
  )
  if (inTable) throw new Error("unsupported expression")
  const from = sources(found)
  if (from.length === 0) throw new Error("at least 1 table is required in FROM / JOIN clause")
  const keys = from.flatMap(({ alias, table }) => {
    const known = schema.get(table)
    if (known === undefined) throw new Error(`table not found in schema: ${table}`)
    return known.pks.map((pk) => `${quote(alias)}.${quote(pk)}`)
  })
  const last = found.at(-1)
  const end = last?.text === ";" ? last.start : sql.length
  const start = (second !== undefined && ["DISTINCT", "ALL"].includes(keyword(second) ?? "") ? second : first).end
  const added = keys.map((key, index) => `${key} AS __k${index}`).join(", ")
  const all = `${sql.slice(0, start)} ${added}, ${sql.slice(start, end)}`
  const at = keys.map((_, index) => `__k${index} = ?`).join(" AND ")
  return {
    tables: new Set(from.map(({ table }) => table)),
    keys: keys.length,
    all,
    one: from.length === 1 ? `SELECT * FROM (${all}\n) WHERE ${at}` : undefined
  }
}
