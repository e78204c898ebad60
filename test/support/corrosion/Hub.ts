import { Batch } from "./Batch.ts"
import type { Database, Touched } from "./Database.ts"
import type { LineStream } from "./LineStream.ts"
import { Subscription } from "./Subscription.ts"
import type { Saved } from "./Subscription.ts"
import { Updates } from "./Updates.ts"

interface Listened<A> {
  readonly target: A
  readonly batch: Batch
}

const SAVED = "subscriptions"

/** All that clients of an agent listen to. */
export class Hub {
  readonly #database: Database
  readonly #tickMs: () => number
  readonly #told: () => void
  #subscriptions = new Map<string, Listened<Subscription>>()
  #updates = new Map<string, Listened<Updates>>()

  /** `told` is called after the clients were told of a batch. */
  constructor(database: Database, tickMs: () => number, told: () => void) {
    this.#database = database
    this.#tickMs = tickMs
    this.#told = told
  }

  list(): ReadonlyArray<Subscription> {
    return Array.from(this.#subscriptions.values(), ({ target }) => target)
  }

  byId(id: string): Subscription | undefined {
    return this.list().find((each) => each.id === id)
  }

  bySql(sql: string): Subscription | undefined {
    return this.#subscriptions.get(sql)?.target
  }

  /** Throws an Error when the statement can't be subscribed to. */
  create(sql: string, saved?: Saved): Subscription {
    const target = new Subscription(this.#database, sql, saved)
    this.#subscriptions.set(sql, { target, batch: this.#batchFor(target) })
    return target
  }

  /** Throws an Error when there is no such table. */
  updatesOf(table: string): Updates {
    const known = this.#updates.get(table)?.target
    if (known !== undefined) return known
    const target = new Updates(this.#database, table)
    this.#updates.set(table, { target, batch: this.#batchFor(target) })
    return target
  }

  streams(): ReadonlyArray<LineStream> {
    return this.#all().flatMap(({ target }) => [...target.listeners])
  }

  changed(touched: Touched): void {
    for (const { batch } of this.#all()) batch.add(touched)
  }

  flush(): void {
    for (const { batch } of this.#all()) batch.flush()
  }

  forget(subscription: Subscription): void {
    this.#subscriptions.get(subscription.sql)?.batch.stop()
    this.#subscriptions.delete(subscription.sql)
  }

  forgetAll(): void {
    for (const { batch } of this.#all()) batch.stop()
    this.#subscriptions = new Map()
    this.#updates = new Map()
  }

  /** Keeps the subscriptions for the next start. */
  save(): void {
    this.#database.setMeta(SAVED, JSON.stringify(this.list().map((each) => each.save())))
  }

  /** Takes up those that were kept; they are gone from the file then, so that a crash finds none. */
  restore(): void {
    const text = this.#database.meta(SAVED)
    this.#database.setMeta(SAVED, null)
    if (typeof text !== "string") return
    // Written by `save`.
    for (const saved of JSON.parse(text) as ReadonlyArray<Saved>) this.create(saved.sql, saved)
  }

  #batchFor(target: Subscription | Updates): Batch {
    const update = (touched: Touched): void => {
      target.update(touched)
      this.#told()
    }
    return new Batch({ concerns: (touched) => target.concerns(touched), update }, this.#tickMs)
  }

  #all(): ReadonlyArray<Listened<Subscription | Updates>> {
    return [...this.#subscriptions.values(), ...this.#updates.values()]
  }
}
