import { DatabaseSync } from "node:sqlite"
import type { Server } from "./tcp.ts"

/** A row of `backends`; what is not given is what the database's defaults make of it. */
export interface Row {
  readonly id: string
  readonly app?: string | null
  readonly region?: string | null
  readonly country?: string | null
  readonly wg_ip?: string | null
  readonly port?: number | string | null
  readonly healthy?: number | null
  readonly weight?: number | null
  readonly soft_limit?: number | null
  readonly hard_limit?: number | null
  readonly deleted?: number | null
}

const schema = `CREATE TABLE backends (
  id TEXT PRIMARY KEY, app TEXT, region TEXT, country TEXT, wg_ip TEXT, port INTEGER, healthy INTEGER DEFAULT 1,
  weight INTEGER DEFAULT 1, soft_limit INTEGER DEFAULT 100, hard_limit INTEGER DEFAULT 150, deleted INTEGER DEFAULT 0)`

const withDatabase = <A>(path: string, use: (database: DatabaseSync) => A): A => {
  const database = new DatabaseSync(path)
  try {
    return use(database)
  } finally {
    database.close()
  }
}

/** Runs statements in a connection of its own, as an operator at a shell would. */
export const runSql = (path: string, sql: string): void => withDatabase(path, (database) => database.exec(sql))

export const insertRows = (path: string, rows: Iterable<Row>): void =>
  withDatabase(path, (database) => {
    database.exec("BEGIN")
    for (const row of rows) {
      const entries = Object.entries(row)
      const names = entries.map(([name]) => name).join(", ")
      database
        .prepare(`INSERT INTO backends (${names}) VALUES (${entries.map(() => "?").join(", ")})`)
        .run(...entries.map(([, value]) => value))
    }
    database.exec("COMMIT")
  })

export const createDatabase = (path: string, rows: Iterable<Row>): void => {
  runSql(path, schema)
  insertRows(path, rows)
}

/** The row that leads to a server of the test. */
export const rowOf = (id: string, { endpoint }: Server, more: Partial<Row> = {}): Row => ({
  id,
  app: "test",
  region: "sa",
  wg_ip: endpoint.address,
  port: endpoint.port,
  ...more
})
