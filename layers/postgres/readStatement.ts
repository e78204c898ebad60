import { backendColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE, stateColumns } from "../../src/domain/BackendState.ts"
import type { Shape, TableShape } from "./Shape.ts"

/** Which table a row is of. */
export type Part = "backends" | "states"

/** What one row of the result says. */
export type Read =
  | {
      readonly _tag: "Row"
      readonly part: Part
      readonly key: string
      readonly row: Record<string, unknown>
      readonly version: number
    }
  /** Of all rows of a table in the same snapshot: how many, and the sum of their versions. */
  | {
      readonly _tag: "Digest"
      readonly part: Part
      readonly count: number
      readonly sum: number
      readonly horizon: string
    }

export interface ReadStatement {
  /** All rows, and the digests. */
  readonly full: string
  /** Rows that may be newer than the horizon `$1`, and the digests. */
  readonly newer: string
  readonly decode: (result: Readonly<Record<string, unknown>>) => Read
}

/** A column of a table, and the column of the result that it is read in. */
interface Column {
  readonly name: string
  readonly expression: string
  readonly slot: string
  /** Read as text, meant as a number. */
  readonly numeric: boolean
}

// Longer than any text that is valid, and short enough that no row is too long to be read.
const MAX_TEXT = 200

const TEXT = "text"

/** Types that the driver might not know, and those that it reads slowly, come as text. */
const expressionOf = (name: string, type: string): readonly [expression: string, type: string] => {
  if (/^(bool|int2|int4|float4|float8)$/.test(type)) return [name, type]
  if (/^(inet|cidr)$/.test(type)) return [`host(${name})`, TEXT]
  return [`left(${name}::text, ${MAX_TEXT})`, TEXT]
}

/** Columns of one type share slots between the tables: what each row of the result costs is its number of columns. */
const columnsOf = (shape: TableShape, wanted: ReadonlyArray<string>): ReadonlyArray<Column> => {
  const taken = new Map<string, number>()
  return wanted.flatMap((name) => {
    const type = shape.columns.get(name)
    if (type === undefined) return []
    const [expression, readAs] = expressionOf(name, type)
    const index = taken.get(readAs) ?? 0
    taken.set(readAs, index + 1)
    return [{ name, expression, slot: `${readAs}_${index}`, numeric: type === "int8" || type === "numeric" }]
  })
}

// Another version of a row is elsewhere or by another transaction, mostly both.
const VERSION = "hashtid(ctid) # hashtext(xmin::text)"

// What the snapshot of that time could not see is of a transaction that is not older than its oldest.
const NEWER = "age(xmin) <= age($1::xid)"

// The oldest transaction that is still under way in this snapshot; ids go round at 2^32.
const HORIZON = "(txid_snapshot_xmin(txid_current_snapshot()) & 4294967295)::text"

const [COUNT, SUM, SINCE] = [`${TEXT}_0`, `${TEXT}_1`, `${TEXT}_2`]

/**
 * Both tables in one statement, and so in one snapshot and one round trip: the rows of either, and a digest of each. A table
 * without versions is always read as a whole.
 */
export const readStatement = (shape: Shape): ReadStatement => {
  const tables = [
    { part: "backends" as const, table: "backends", shape: shape.backends, wanted: backendColumns },
    { part: "states" as const, table: STATE_TABLE, shape: shape.states, wanted: stateColumns }
  ].flatMap(({ part, shape, table, wanted }) =>
    shape === undefined || !shape.readable
      ? []
      : [{ part, table, versioned: shape.versioned, columns: columnsOf(shape, wanted) }]
  )
  const columns: Record<Part, ReadonlyArray<Column>> = { backends: [], states: [] }
  for (const table of tables) columns[table.part] = table.columns

  const own = tables.flatMap((table) => table.columns.map(({ slot }) => slot))
  const slots = [...new Set([COUNT, SUM, SINCE, ...own])].toSorted()
  const select = (kind: string, part: Part, version: string, values: ReadonlyMap<string, string>): string =>
    `SELECT '${kind}' AS kind, '${part}' AS part, ${version} AS version, ` +
    slots.map((slot) => `${values.get(slot) ?? `NULL::${slot.replace(/_\d+$/, "")}`} AS ${slot}`).join(", ")

  const rows = (filter: string): ReadonlyArray<string> =>
    tables.map(({ columns, part, table, versioned }) => {
      const values = new Map(columns.map(({ expression, slot }) => [slot, expression]))
      return `${select("row", part, versioned ? VERSION : "0", values)} FROM ${table}${versioned ? filter : ""}`
    })
  const digests = tables.map(({ part, table, versioned }) => {
    const values = new Map([
      [COUNT, versioned ? "count(*)::text" : "'-1'"],
      [SUM, versioned ? `coalesce(sum(${VERSION}), 0)::text` : "'0'"],
      [SINCE, HORIZON]
    ])
    return `${select("digest", part, "0", values)}${versioned ? ` FROM ${table}` : ""}`
  })

  return {
    full: [...rows(""), ...digests].join(" UNION ALL "),
    newer: [...rows(` WHERE ${NEWER}`), ...digests].join(" UNION ALL "),
    decode: (result) => {
      const part = result["part"] === "backends" ? "backends" : "states"
      if (result["kind"] === "digest") {
        return {
          _tag: "Digest",
          part,
          count: Number(result[COUNT]),
          sum: Number(result[SUM]),
          horizon: String(result[SINCE])
        }
      }
      const row: Record<string, unknown> = {}
      for (const { name, numeric, slot } of columns[part]) {
        const value = result[slot]
        row[name] = numeric && typeof value === "string" ? Number(value) : value
      }
      return { _tag: "Row", part, key: String(row["id"]), row, version: Number(result["version"]) }
    }
  }
}
