import { randomBytes } from "node:crypto"
import { constants, DatabaseSync } from "node:sqlite"
import type { StatementSync } from "node:sqlite"
import { clockSql, readSchema } from "./crr.ts"
import type { Table } from "./crr.ts"
import { encodeCells } from "./json.ts"
import type { Cell } from "./json.ts"
import { parameters, tokens } from "./sqlText.ts"

/** The rows that changed: per table, the primary key of each under its text. */
export type Touched = ReadonlyMap<string, ReadonlyMap<string, ReadonlyArray<Cell>>>

/** Why a statement did not run. */
export class SqlError extends Error {
  readonly at: "prepare" | "bind" | "run"
  constructor(at: "prepare" | "bind" | "run", message: string) {
    super(message)
    this.at = at
  }
}

/** A prepared statement of a client. */
export interface Prepared {
  readonly statement: StatementSync
  readonly columns: ReadonlyArray<string>
  readonly writes: boolean
  readonly parameters: ReadonlyArray<string | undefined>
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const DENIED: ReadonlySet<number> = new Set([
  constants.SQLITE_TRANSACTION,
  constants.SQLITE_SAVEPOINT,
  constants.SQLITE_ATTACH,
  constants.SQLITE_DETACH
])
const READING: ReadonlySet<number> = new Set([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE
])
const MAX_PREPARED = 256

const INTERNAL = `
  PRAGMA recursive_triggers = ON;
  CREATE TABLE IF NOT EXISTS __corro_meta (key TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID;`

/** The state of one agent: its tables, and what changed in them. */
export class Database {
  readonly tables: ReadonlyMap<string, Table>
  readonly actorId: string
  /** Why the schema was refused; the agent runs without tables then, as Corrosion does. */
  readonly schemaError: string | undefined
  readonly #db: DatabaseSync
  readonly #own = new Map<string, StatementSync>()
  readonly #prepared = new Map<string, Prepared>()
  #touched = new Map<string, Map<string, ReadonlyArray<Cell>>>()
  #recorded: { writes: boolean; ddl: boolean } | undefined
  #local = true
  #seq: number
  #version: number

  constructor(schema: string, path = ":memory:") {
    this.#db = new DatabaseSync(path, { readBigInts: true, returnArrays: true })
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
    this.#db.exec(INTERNAL)
    this.#db.function("crr_local", () => (this.#local ? 1 : 0))
    this.#db.function("crr_seq", () => this.#seq + 1)
    this.#db.function("crr_touch", { useBigIntArguments: true, varargs: true }, (table, ...key) => {
      this.touch(String(table), key)
      return null
    })
    this.actorId = String(this.meta("actor") ?? randomBytes(16).toString("hex"))
    this.setMeta("actor", this.actorId)
    this.#seq = Number(this.meta("seq") ?? 0)
    this.#version = Number(this.meta("version") ?? 0)
    const tables = new Map<string, Table>()
    try {
      for (const { ddl, table } of readSchema(schema)) {
        const exists = this.#db.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(table.name) !== undefined
        if (!exists) for (const each of ddl) this.#db.exec(each)
        this.#db.exec(clockSql(table))
        tables.set(table.name, table)
      }
    } catch (error) {
      this.schemaError = messageOf(error)
      tables.clear()
    }
    this.tables = tables
    this.#db.setAuthorizer((action, first, second) => this.#authorize(action, first, second))
  }

  #authorize(action: number, first: string | null, second: string | null): number {
    if (this.#recorded === undefined) return constants.SQLITE_OK
    if (DENIED.has(action)) return constants.SQLITE_DENY
    const asks = action === constants.SQLITE_PRAGMA && (second === null || /_x?(info|list)$/.test(first ?? ""))
    if (READING.has(action) || asks) return constants.SQLITE_OK
    this.#recorded.writes = true
    const inRows = [constants.SQLITE_INSERT, constants.SQLITE_UPDATE, constants.SQLITE_DELETE].includes(action)
    if (!inRows) this.#recorded.ddl = true
    return constants.SQLITE_OK
  }

  meta(key: string): Cell | undefined {
    return this.rows("SELECT value FROM __corro_meta WHERE key = ?", [key])[0]?.[0]
  }

  setMeta(key: string, value: Cell): void {
    this.#db.prepare("INSERT OR REPLACE INTO __corro_meta VALUES (?, ?)").run(key, value)
  }

  /** For SQL of the agent's own. */
  own(sql: string): StatementSync {
    const known = this.#own.get(sql) ?? this.#db.prepare(sql)
    this.#own.set(sql, known)
    return known
  }

  rows(sql: string, values: ReadonlyArray<Cell> = []): ReadonlyArray<ReadonlyArray<Cell>> {
    return cellsOf(this.own(sql).all(...values))
  }

  /** The number of the transaction that is running, or would run next. */
  get seq(): number {
    return this.#seq + 1
  }

  touch(table: string, key: ReadonlyArray<Cell>): void {
    const rows = this.#touched.get(table)
    if (rows === undefined) this.#touched.set(table, new Map([[encodeCells(key), key]]))
    else rows.set(encodeCells(key), key)
  }

  /** Prepares exactly one statement of a client. Throws a SqlError. */
  prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    const recorded = { writes: false, ddl: false }
    this.#recorded = recorded
    try {
      const statement = this.#db.prepare(sql)
      if (tokens(sql.slice(statement.sourceSQL.length)).some(({ text }) => text !== ";")) {
        throw new Error("Multiple statements provided")
      }
      const columns = statement.columns().map(({ name }) => name)
      const prepared = { statement, columns, writes: recorded.writes, parameters: parameters(sql) }
      if (this.#prepared.size >= MAX_PREPARED || recorded.ddl) this.#prepared.clear()
      if (!recorded.ddl) this.#prepared.set(sql, prepared)
      return prepared
    } catch (error) {
      throw new SqlError("prepare", messageOf(error))
    } finally {
      this.#recorded = undefined
    }
  }

  /**
   * Runs in one transaction; what it throws rolls all back. Tells what changed, and the version of this node that the
   * change made: none for changes of others, or when nothing changed.
   */
  transact<A>(
    run: () => A,
    local = true
  ): { readonly value: A; readonly touched: Touched; readonly version: number | null } {
    this.#touched = new Map()
    this.#local = local
    this.#db.exec("BEGIN IMMEDIATE")
    try {
      const value = run()
      const touched = this.#touched
      const version = touched.size > 0 && local ? this.#version + 1 : null
      if (touched.size > 0) this.setMeta("seq", BigInt(this.#seq + 1))
      if (version !== null) this.setMeta("version", BigInt(version))
      this.#db.exec("COMMIT")
      if (touched.size > 0) this.#seq++
      this.#version = version ?? this.#version
      return { value, touched, version }
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK")
      throw error
    } finally {
      this.#touched = new Map()
      this.#local = true
    }
  }

  close(): void {
    this.#db.close()
  }
}

/** Rows come as arrays: the database is opened so. */
export const cellsOf = (rows: unknown): ReadonlyArray<ReadonlyArray<Cell>> => rows as ReadonlyArray<ReadonlyArray<Cell>>
