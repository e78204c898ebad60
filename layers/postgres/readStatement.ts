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

interface Column {
  readonly name: string
  readonly alias: string
  readonly expression: string
  readonly numeric: boolean
}

// Longer than any text that is valid, and short enough that no row is too long to be read.
const MAX_TEXT = 200

const expressionOf = (name: string, type: string): string => {
  if (/^(bool|int2|int4|int8|float4|float8)$/.test(type)) return name
  if (/^(inet|cidr)$/.test(type)) return `host(${name})`
  return `left(${name}::text, ${MAX_TEXT})`
}

const columnsOf = (shape: TableShape, wanted: ReadonlyArray<string>, prefix: string): ReadonlyArray<Column> =>
  wanted.flatMap((name, index) => {
    const type = shape.columns.get(name)
    return type === undefined
      ? []
      : [{ name, alias: `${prefix}${index}`, expression: expressionOf(name, type), numeric: type === "numeric" }]
  })

// Another version of a row is elsewhere or by another transaction, mostly both.
const VERSION = "hashtext(tableoid::text || ctid::text || xmin::text)"

// What the snapshot at that time could not see has a transaction id that is not older; ids go round at 2^32.
const NEWER = "((xmin::text::bigint - $1::bigint) & 4294967295) < 2147483648"

// The oldest transaction that was still under way; what comes later has a higher id.
const HORIZON = "(txid_snapshot_xmin(txid_current_snapshot()) & 4294967295)::text"

const plain = (value: unknown, numeric: boolean): unknown => {
  if (numeric && typeof value === "string") return Number(value)
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/**
 * Both tables in one statement, and so in one snapshot and one round trip: rows of either, with the columns of the other
 * empty, and a digest of each. Types that the driver might not know are read as text.
 */
export const readStatement = (shape: Shape): ReadStatement => {
  const tables = [
    { part: "backends" as const, table: "backends", shape: shape.backends, wanted: backendColumns, prefix: "b" },
    { part: "states" as const, table: STATE_TABLE, shape: shape.states, wanted: stateColumns, prefix: "s" }
  ].flatMap(({ part, prefix, shape, table, wanted }) =>
    shape === undefined || !shape.readable
      ? []
      : [{ part, table, versioned: shape.versioned, columns: columnsOf(shape, wanted, prefix) }]
  )
  const all = tables.flatMap(({ columns }) => columns)
  const select = (part: string, fixed: string, own: ReadonlyArray<Column>): string =>
    `SELECT '${part}' AS part, ${fixed}, ` +
    all.map((column) => `${own.includes(column) ? column.expression : "NULL"} AS ${column.alias}`).join(", ")

  const rows = (filter: string): ReadonlyArray<string> =>
    tables.map(({ columns, part, table, versioned }) => {
      const fixed = `${versioned ? VERSION : "0"} AS version, NULL AS rows, NULL AS sum, NULL AS horizon`
      return `${select(part, fixed, columns)} FROM ${table}${versioned ? filter : ""}`
    })
  const digests = tables.map(({ part, table, versioned }) => {
    const counted = versioned ? `count(*)::text, coalesce(sum(${VERSION}), 0)::text` : "'-1', '0'"
    return `${select(part, `NULL, ${counted}, ${HORIZON}`, [])}${versioned ? ` FROM ${table}` : ""}`
  })
  const columns = { backends: [] as ReadonlyArray<Column>, states: [] as ReadonlyArray<Column> }
  for (const table of tables) columns[table.part] = table.columns

  return {
    full: [...rows(""), ...digests].join(" UNION ALL "),
    newer: [...rows(` WHERE ${NEWER}`), ...digests].join(" UNION ALL "),
    decode: (result) => {
      const part = result["part"] === "backends" ? "backends" : "states"
      if (typeof result["horizon"] === "string") {
        return {
          _tag: "Digest",
          part,
          count: Number(result["rows"]),
          sum: Number(result["sum"]),
          horizon: result["horizon"]
        }
      }
      const row: Record<string, unknown> = {}
      for (const { alias, name, numeric } of columns[part]) row[name] = plain(result[alias], numeric)
      return { _tag: "Row", part, key: String(row["id"]), row, version: Number(result["version"]) }
    }
  }
}
