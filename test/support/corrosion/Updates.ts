import { randomUUID } from "node:crypto"
import type { Database, Touched } from "./Database.ts"
import { encodeCells } from "./json.ts"
import type { LineStream } from "./LineStream.ts"
import { quote } from "./sqlText.ts"

/** Tells which rows of one table change, not what they hold: no snapshot, no change ids, no resume. */
export class Updates {
  readonly id: string = randomUUID()
  readonly listeners = new Set<LineStream>()
  readonly #database: Database
  readonly #table: string
  readonly #exists: string

  /** Throws an Error when there is no such table. */
  constructor(database: Database, table: string) {
    const known = database.tables.get(table)
    if (known === undefined) throw new Error(`table not found in schema: ${table}`)
    this.#database = database
    this.#table = table
    this.#exists = `SELECT 1 FROM ${quote(table)} WHERE ${known.pks.map((pk) => `${quote(pk)} = ?`).join(" AND ")}`
  }

  concerns(touched: Touched): boolean {
    return touched.has(this.#table)
  }

  update(touched: Touched): void {
    const lines = Array.from(touched.get(this.#table)?.values() ?? [], (key) => {
      const type = this.#database.rows(this.#exists, key).length > 0 ? "update" : "delete"
      return `{"notify":["${type}",${encodeCells(key)}]}`
    })
    for (const listener of this.listeners) listener.sendLive(lines)
  }
}
