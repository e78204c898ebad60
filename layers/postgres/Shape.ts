import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import { backendColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE, stateColumns } from "../../src/domain/BackendState.ts"
import { NOTIFY } from "./schema.ts"

/** One of the two tables as the database has it. */
export interface TableShape {
  /** Those of the columns asked for that it has, each with the name of its type; a domain's is the one it is made from. */
  readonly columns: ReadonlyMap<string, string>
  /** Its rows have versions: views and foreign tables have not. */
  readonly versioned: boolean
  readonly readable: boolean
  readonly writable: boolean
  /** A change of it is announced. */
  readonly notifies: boolean
  readonly kind: string
}

/** What can be read, and how to learn of changes. */
export interface Shape {
  readonly backends: TableShape | undefined
  readonly states: TableShape | undefined
  /** A standby: nothing can be written to, or announced by it. */
  readonly standby: boolean
  readonly encoding: string
  readonly hasNotifyFunction: boolean
  /** Differs when anything of this does, or when a table is another one by the same name. */
  readonly fingerprint: string
}

const quoted = (names: Iterable<string>): string => Array.from(names, (name) => `'${name}'`).join(", ")

// pg_trigger.tgtype: 4 insert, 8 delete, 16 update, 32 truncate; tgenabled D: disabled, R: on replicas only.
const SHAPE = `
SELECT pg_is_in_recovery() AS standby, current_setting('server_encoding') AS encoding,
  to_regprocedure('${NOTIFY}()') IS NOT NULL AS has_function,
  names.name, c.oid::text AS oid, c.relkind::text AS kind,
  has_table_privilege(c.oid, 'SELECT') AS readable,
  has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
    AND has_table_privilege(c.oid, 'DELETE') AS writable,
  EXISTS (
    SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = c.oid AND p.proname = '${NOTIFY}' AND t.tgenabled IN ('O', 'A') AND (t.tgtype & 60) = 60
  ) AS notifies,
  (
    SELECT string_agg(a.attname || ' ' || coalesce(base.typname, own.typname), ',' ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type own ON own.oid = a.atttypid
      LEFT JOIN pg_type base ON base.oid = own.typbasetype AND own.typtype = 'd'
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname IN (${quoted(new Set([...backendColumns, ...stateColumns]))})
  ) AS columns
FROM (VALUES ('backends'), ('${STATE_TABLE}')) AS names(name) LEFT JOIN pg_class c ON c.oid = to_regclass(names.name)
ORDER BY names.name`

// Tables, partitioned tables and materialized views: what has xmin and ctid.
const versionedKinds = ["r", "p", "m"]

const tableShape = (row: Readonly<Record<string, unknown>> | undefined): TableShape | undefined => {
  if (row === undefined || row["oid"] === null) return undefined
  const columns = typeof row["columns"] === "string" ? row["columns"].split(",") : []
  return {
    columns: new Map(
      columns.map((column) => {
        const [name = "", type = ""] = column.split(" ")
        return [name, type] as const
      })
    ),
    versioned: versionedKinds.includes(String(row["kind"])),
    readable: row["readable"] === true,
    writable: row["writable"] === true,
    notifies: row["notifies"] === true,
    kind: String(row["kind"])
  }
}

/** One look at the catalog: what is there, and what this role may do with it. */
export const readShape = (connection: PgConnection) =>
  Effect.map(connection.query(SHAPE), ({ rows }): Shape => {
    const tables = new Map(rows.map((row) => [row["name"], row]))
    return {
      backends: tableShape(tables.get("backends")),
      states: tableShape(tables.get(STATE_TABLE)),
      standby: rows[0]?.["standby"] === true,
      encoding: String(rows[0]?.["encoding"]),
      hasNotifyFunction: rows[0]?.["has_function"] === true,
      fingerprint: JSON.stringify(rows)
    }
  })
