import { clockOf } from "./crr.ts"
import type { Table } from "./crr.ts"
import type { Database } from "./Database.ts"
import { encodeCells, isObject, toCells } from "./json.ts"
import type { Cell, Json } from "./json.ts"
import { quote } from "./sqlText.ts"

/** A row as one node has it, for the others. */
export interface RowState {
  readonly table: string
  readonly key: ReadonlyArray<Cell>
  /** How often it was inserted and deleted: odd while it lives. */
  readonly length: bigint
  /** How often each column was written in this life. */
  readonly versions: ReadonlyArray<bigint>
  readonly values: ReadonlyArray<Cell>
}

const at = (table: Table): string => table.pks.map((pk) => `${quote(pk)} = ?`).join(" AND ")

const clockColumns = (table: Table): string =>
  [...table.pks.map(quote), "cl", ...table.columns.map((_, index) => `v${index}`)].join(", ")

const valuesAt = (database: Database, table: Table, key: ReadonlyArray<Cell>): ReadonlyArray<Cell> =>
  table.columns.length === 0
    ? []
    : (database.rows(
        `SELECT ${table.columns.map(quote).join(", ")} FROM ${quote(table.name)} WHERE ${at(table)}`,
        key
      )[0] ?? [])

const toState = (database: Database, table: Table, clock: ReadonlyArray<Cell>): RowState => {
  const key = clock.slice(0, table.pks.length)
  const [length = 0n, ...versions] = clock.slice(table.pks.length).map((each) => BigInt(Number(each)))
  const lives = length % 2n === 1n
  return { table: table.name, key, length, versions, values: lives ? valuesAt(database, table, key) : [] }
}

/** The rows that changed after a transaction of this node, and the transaction that this reaches to. */
export const changesAfter = (
  database: Database,
  seq: number
): { readonly rows: ReadonlyArray<RowState>; readonly seq: number } => ({
  rows: [...database.tables.values()].flatMap((table) =>
    database
      .rows(`SELECT ${clockColumns(table)} FROM ${clockOf(table)} WHERE seq > ?`, [BigInt(seq)])
      .map((clock) => toState(database, table, clock))
  ),
  seq: database.seq - 1
})

export const encodeRow = ({ key, length, table, values, versions }: RowState): string =>
  `[${JSON.stringify(table)},${encodeCells(key)},${length},[${versions.join(",")}],${encodeCells(values)}]`

/** Undefined for what `encodeRow` does not write. */
export const decodeRow = (json: Json): RowState | undefined => {
  if (!Array.isArray(json) || isObject(json)) return undefined
  const [table, key, length, versions, values] = json as ReadonlyArray<Json>
  if (typeof table !== "string" || typeof length !== "bigint") return undefined
  if (!Array.isArray(key) || !Array.isArray(versions) || !Array.isArray(values)) return undefined
  const keyCells = toCells(key as ReadonlyArray<Json>)
  const valueCells = toCells(values as ReadonlyArray<Json>)
  if (keyCells === undefined || valueCells === undefined) return undefined
  return { table, key: keyCells, length, versions: versions.map((each) => BigInt(Number(each))), values: valueCells }
}

const rank = (cell: Cell): number =>
  cell === null ? 0 : typeof cell === "string" ? 2 : typeof cell === "object" ? 3 : 1

/** The order in which SQLite sorts values. */
const isLarger = (a: Cell, b: Cell): boolean => {
  if (rank(a) !== rank(b)) return rank(a) > rank(b)
  if (a === null || b === null) return false
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b)) > 0
  if (typeof a === "object" && typeof b === "object") return Buffer.compare(a, b) > 0
  return a > b
}

const write = (database: Database, table: Table, state: RowState): void => {
  const versions = table.columns.map((_, index) => state.versions[index] ?? 0n)
  const clock = [...state.key, state.length, ...versions, BigInt(database.seq)]
  database.rows(
    `INSERT OR REPLACE INTO ${clockOf(table)} (${clockColumns(table)}, seq) VALUES (${clock.map(() => "?").join(", ")})`,
    clock
  )
  const columns = [...table.pks, ...table.columns].map(quote)
  if (state.length % 2n === 0n) database.rows(`DELETE FROM ${quote(table.name)} WHERE ${at(table)}`, state.key)
  else {
    const set = table.columns.map((column) => `${quote(column)} = excluded.${quote(column)}`).join(", ")
    database.rows(
      `INSERT INTO ${quote(table.name)} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
       ON CONFLICT DO ${set === "" ? "NOTHING" : `UPDATE SET ${set}`}`,
      [...state.key, ...state.values]
    )
  }
  database.touch(table.name, state.key)
}

/** Who wrote a column more often wins, then the larger value. */
const mergeColumns = (mine: RowState, theirs: RowState): RowState => {
  const wins = mine.versions.map((version, index) => {
    const other = theirs.versions[index] ?? 0n
    return other > version || (other === version && isLarger(theirs.values[index] ?? null, mine.values[index] ?? null))
  })
  return wins.includes(true)
    ? {
        ...mine,
        versions: wins.map((won, index) => (won ? theirs : mine).versions[index] ?? 0n),
        values: wins.map((won, index) => (won ? theirs : mine).values[index] ?? null)
      }
    : mine
}

/** Takes over what another node has newer. To be run in a transaction that is not local. */
export const merge = (database: Database, rows: ReadonlyArray<RowState>): void => {
  for (const theirs of rows) {
    const table = database.tables.get(theirs.table)
    if (table === undefined) continue
    const [clock] = database.rows(`SELECT ${clockColumns(table)} FROM ${clockOf(table)} WHERE ${at(table)}`, theirs.key)
    const mine = clock === undefined ? undefined : toState(database, table, clock)
    if (mine === undefined || theirs.length > mine.length) write(database, table, theirs)
    else if (theirs.length === mine.length && mine.length % 2n === 1n) {
      const merged = mergeColumns(mine, theirs)
      if (merged !== mine) write(database, table, merged)
    }
  }
}
