import { createHash, randomUUID } from "node:crypto"
import type { StatementSync } from "node:sqlite"
import type { Database, Touched } from "./Database.ts"
import { encodeCells } from "./json.ts"
import type { Cell } from "./json.ts"
import type { LineStream } from "./LineStream.ts"
import { expand } from "./run.ts"
import { keyed } from "./select.ts"
import type { Keyed } from "./select.ts"
import type { Statement } from "./statement.ts"

/** A row as its clients have it: `cells` is JSON. */
interface Row {
  readonly rowid: number
  readonly cells: string
}

interface Change {
  readonly id: number
  readonly line: string
}

/** What is left of a subscription over a clean restart. */
export interface Saved {
  readonly id: string
  readonly sql: string
  readonly lastChangeId: number
  readonly lastRowid: number
  readonly rows: ReadonlyArray<readonly [key: string, rowid: number, cells: string]>
  readonly log: ReadonlyArray<Change>
}

/** Where a client wants to start. */
export interface Start {
  readonly from: number | undefined
  readonly skipRows: boolean
}

interface Opening {
  readonly lines: ReadonlyArray<string>
  readonly eoq?: string
  readonly error?: string
}

/** One statement that clients listen to. Its text is its identity. */
export class Subscription {
  id: string = randomUUID()
  readonly sql: string
  readonly hash: string
  readonly columns: ReadonlyArray<string>
  readonly listeners = new Set<LineStream>()
  readonly #keyed: Keyed
  readonly #all: StatementSync
  readonly #one: StatementSync | undefined
  readonly #rows = new Map<string, Row>()
  #log: Array<Change> = []
  #lastRowid = 0
  #lastChangeId = 0

  /** Throws an Error when the statement can't be subscribed to. */
  constructor(database: Database, sql: string, saved?: Saved) {
    this.sql = sql
    this.hash = createHash("sha256").update(sql).digest("hex").slice(0, 16)
    this.columns = database.prepare(sql).columns
    this.#keyed = keyed(sql, database.tables)
    this.#all = database.own(this.#keyed.all)
    this.#one = this.#keyed.one === undefined ? undefined : database.own(this.#keyed.one)
    if (saved === undefined) {
      for (const [key, cells] of this.#read(this.#all, [])) this.#rows.set(key, { rowid: ++this.#lastRowid, cells })
      return
    }
    this.id = saved.id
    this.#lastChangeId = saved.lastChangeId
    this.#lastRowid = saved.lastRowid
    this.#log = [...saved.log]
    for (const [key, rowid, cells] of saved.rows) this.#rows.set(key, { rowid, cells })
    this.#publish(this.#compareAll())
  }

  /** The text under which clients share a subscription. Throws a SqlError. */
  static textOf(database: Database, statement: Statement): string {
    return expand(database, statement)
  }

  get lastChangeId(): number {
    return this.#lastChangeId
  }

  concerns(touched: Touched): boolean {
    return [...touched.keys()].some((table) => this.#keyed.tables.has(table))
  }

  save(): Saved {
    const rows = Array.from(this.#rows, ([key, { cells, rowid }]) => [key, rowid, cells] as const)
    return {
      id: this.id,
      sql: this.sql,
      lastChangeId: this.#lastChangeId,
      lastRowid: this.#lastRowid,
      rows,
      log: this.#log
    }
  }

  /**
   * What a client gets before live changes; the rows want their `eoq` then, and after an `error` there is nothing more.
   */
  opening({ from = 0, skipRows }: Start): Opening {
    if (from === 0) return skipRows ? { lines: [] } : { lines: this.#snapshot(), eoq: this.#eoq() }
    const [oldest] = this.#log
    if (oldest !== undefined && from + 1 < oldest.id) {
      return { lines: [], error: `subscription already deleted older changes, min change id: ${oldest.id}` }
    }
    return { lines: this.#log.filter(({ id }) => id > from).map(({ line }) => line) }
  }

  #snapshot(): ReadonlyArray<string> {
    const lines = [JSON.stringify({ columns: this.columns })]
    for (const { cells, rowid } of this.#rows.values()) lines.push(`{"row":[${rowid},${cells}]}`)
    return lines
  }

  #eoq(): string {
    return `{"eoq":{"time":8e-8,"change_id":${this.#lastChangeId}}}`
  }

  /** Looks at rows that may have changed and tells the listeners what did: upserts first, then deletes. */
  update(touched: Touched): void {
    const [table] = this.#keyed.tables
    const keys = table === undefined ? undefined : touched.get(table)
    if (this.#one === undefined || keys === undefined) this.#publish(this.#compareAll())
    else this.#publish(this.#compare(this.#one, keys))
  }

  /** Forgets all but the newest changes. */
  prune(keep: number): void {
    this.#log = keep === 0 ? [] : this.#log.slice(-keep)
  }

  rename(): void {
    this.id = randomUUID()
  }

  /** Tells the listeners a change again: the last, or the one before it. */
  retell(back: 0 | 1): void {
    const change = this.#log.at(-1 - back)
    if (change !== undefined) for (const listener of this.listeners) listener.send([change.line])
  }

  *#read(statement: StatementSync, key: ReadonlyArray<Cell>): Iterable<readonly [key: string, cells: string]> {
    const { keys } = this.#keyed
    // Rows come as arrays: the database is opened so.
    for (const row of statement.iterate(...key) as Iterable<unknown> as Iterable<ReadonlyArray<Cell>>) {
      yield [encodeCells(row.slice(0, keys)), encodeCells(row.slice(keys))]
    }
  }

  #compare(one: StatementSync, keys: ReadonlyMap<string, ReadonlyArray<Cell>>): ReadonlyArray<Change> {
    const gone: Array<string> = []
    const changes: Array<Change> = []
    for (const [key, values] of keys) {
      const [found] = this.#read(one, values)
      if (found === undefined) gone.push(key)
      else this.#upsert(key, found[1], changes)
    }
    for (const key of gone) this.#delete(key, changes)
    return changes
  }

  #compareAll(): ReadonlyArray<Change> {
    const seen = new Set<string>()
    const changes: Array<Change> = []
    for (const [key, cells] of this.#read(this.#all, [])) {
      seen.add(key)
      this.#upsert(key, cells, changes)
    }
    const gone = [...this.#rows.keys()].filter((key) => !seen.has(key))
    for (const key of gone) this.#delete(key, changes)
    return changes
  }

  #upsert(key: string, cells: string, changes: Array<Change>): void {
    const known = this.#rows.get(key)
    if (known?.cells === cells) return
    const rowid = known?.rowid ?? ++this.#lastRowid
    this.#rows.set(key, { rowid, cells })
    changes.push(this.#change(known === undefined ? "insert" : "update", rowid, cells))
  }

  #delete(key: string, changes: Array<Change>): void {
    const known = this.#rows.get(key)
    if (known === undefined) return
    this.#rows.delete(key)
    changes.push(this.#change("delete", known.rowid, known.cells))
  }

  #change(type: "insert" | "update" | "delete", rowid: number, cells: string): Change {
    const id = ++this.#lastChangeId
    return { id, line: `{"change":["${type}",${rowid},${cells},${id}]}` }
  }

  #publish(changes: ReadonlyArray<Change>): void {
    for (const change of changes) this.#log.push(change)
    const lines = changes.map(({ line }) => line)
    if (lines.length > 0) for (const listener of this.listeners) listener.sendLive(lines)
  }
}
