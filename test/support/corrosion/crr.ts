import { DatabaseSync } from "node:sqlite"
import { quote } from "./sqlText.ts"

/** A table that replicates. */
export interface Table {
  readonly name: string
  readonly pks: ReadonlyArray<string>
  readonly columns: ReadonlyArray<string>
}

/** For each row that is or was: its causal length (odd while it lives), when it changed last, a version per column. */
export const clockOf = (table: Table): string => quote(`${table.name}__clock`)

interface ColumnInfo {
  readonly name: string
  readonly notnull: number
  readonly dflt_value: string | null
  readonly pk: number
  readonly hidden: number
}

const readTable = (db: DatabaseSync, name: string): Table => {
  // The rows of these pragmas have the columns that SQLite documents.
  const infos = db.prepare(`PRAGMA table_xinfo(${quote(name)})`).all() as unknown as ReadonlyArray<ColumnInfo>
  const keys = infos.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk)
  if (keys.length === 0 || keys.some(({ notnull }) => notnull === 0)) {
    throw new Error(`no primary key or primary key is nullable (table: ${name})`)
  }
  for (const { dflt_value, name: column, notnull, pk } of infos) {
    if (pk === 0 && notnull === 1 && dflt_value === null) {
      throw new Error(`not nullable column '${column}' has no default value (table: ${name})`)
    }
  }
  const indexes = db.prepare(`PRAGMA index_list(${quote(name)})`).all()
  if (indexes.some((index) => index["unique"] === 1 && index["origin"] !== "pk")) {
    throw new Error(`unique indexes are not allowed (table: ${name})`)
  }
  if (db.prepare(`PRAGMA foreign_key_list(${quote(name)})`).all().length > 0) {
    throw new Error(`foreign keys are not allowed (table: ${name})`)
  }
  return {
    name,
    pks: keys.map((key) => key.name),
    columns: infos.filter(({ hidden, pk }) => pk === 0 && hidden === 0).map((info) => info.name)
  }
}

/** The tables of schema files, and the SQL that makes each of them and its indexes. Throws on what Corrosion refuses. */
export const readSchema = (
  sql: string
): ReadonlyArray<{ readonly table: Table; readonly ddl: ReadonlyArray<string> }> => {
  const db = new DatabaseSync(":memory:")
  try {
    db.exec(sql)
    const made = db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    const other = made.find(({ type }) => type !== "table" && type !== "index")
    if (other !== undefined) throw new Error(`unsupported command: ${String(other["sql"])}`)
    return made
      .filter(({ type }) => type === "table")
      .map(({ name }) => ({
        table: readTable(db, String(name)),
        ddl: made.filter(({ tbl_name }) => tbl_name === name).map((each) => String(each["sql"]))
      }))
  } finally {
    db.close()
  }
}

const row = (of: "NEW" | "OLD", columns: ReadonlyArray<string>): string =>
  columns.map((column) => `${of}.${quote(column)}`).join(", ")

const differ = (columns: ReadonlyArray<string>): string =>
  columns.map((column) => `OLD.${quote(column)} IS NOT NEW.${quote(column)}`).join(" OR ") || "0"

/**
 * The clock of a table and the triggers that keep it. They call `crr_local()` (is this a write of this node?),
 * `crr_seq()` (the number of the running transaction) and `crr_touch(table, ...key)`.
 */
export const clockSql = (table: Table): string => {
  const clock = clockOf(table)
  const on = quote(table.name)
  const name = (what: string): string => quote(`${table.name}__${what}`)
  const keys = table.pks.map(quote)
  const versions = table.columns.map((_, index) => `v${index}`)
  const at = (of: "NEW" | "OLD"): string => table.pks.map((pk) => `${quote(pk)} = ${of}.${quote(pk)}`).join(" AND ")
  const touch = (of: "NEW" | "OLD"): string =>
    `SELECT crr_touch('${table.name.replaceAll("'", "''")}', ${row(of, table.pks)});`
  const born = `INSERT INTO ${clock} VALUES (${[row("NEW", table.pks), "1", "crr_seq()", ...versions.map(() => "1")].join(", ")})
    ON CONFLICT DO UPDATE SET ${["cl = cl + 1", "seq = excluded.seq", ...versions.map((v) => `${v} = 1`)].join(", ")};
    ${touch("NEW")}`
  const forgotten = versions.map((v) => `${v} = 0`)
  const dead = `UPDATE ${clock} SET ${["cl = cl + 1", "seq = crr_seq()", ...forgotten].join(", ")} WHERE ${at("OLD")}; ${touch("OLD")}`
  const bumped = table.columns.map((column, index) => `v${index} = v${index} + (${differ([column])})`)
  return `
  CREATE TABLE IF NOT EXISTS ${clock} (
    ${[...keys, "cl INTEGER NOT NULL", "seq INTEGER NOT NULL", ...versions.map((v) => `${v} INTEGER NOT NULL`)].join(", ")},
    PRIMARY KEY (${keys.join(", ")})) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS ${name("clock_seq")} ON ${clock} (seq);
  CREATE TRIGGER IF NOT EXISTS ${name("insert")} AFTER INSERT ON ${on} WHEN crr_local() BEGIN ${born} END;
  CREATE TRIGGER IF NOT EXISTS ${name("delete")} AFTER DELETE ON ${on} WHEN crr_local() BEGIN ${dead} END;
  CREATE TRIGGER IF NOT EXISTS ${name("move")} AFTER UPDATE ON ${on} WHEN crr_local() AND (${differ(table.pks)})
    BEGIN ${dead} ${born} END;
  CREATE TRIGGER IF NOT EXISTS ${name("update")} AFTER UPDATE ON ${on}
    WHEN crr_local() AND NOT (${differ(table.pks)}) AND (${differ(table.columns)})
    BEGIN UPDATE ${clock} SET ${["seq = crr_seq()", ...bumped].join(", ")} WHERE ${at("NEW")}; ${touch("NEW")} END;`
}
