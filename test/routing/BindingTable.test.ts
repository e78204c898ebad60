import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type { ClientKey } from "../../src/domain/Client.ts"
import { mix } from "../../src/domain/Hash.ts"
import * as BindingTable from "../../src/routing/BindingTable.ts"
import { between, oneOf } from "../support/arbitraries.ts"

/** Keys that come in both families with the same words. */
const keyNumber = (index: number): ClientKey =>
  index % 2 === 0
    ? { family: 4, hi: 0, lo: mix(index) }
    : { family: 6, hi: index % 4 === 1 ? 0 : 7, lo: mix(index - 1) }

const nameOf = (key: number, app: number): string => `${key} ${app}`

interface Entry {
  backend: number
  lastUsed: number
  open: number
}

/** A Map keeps the order of insertion, so taking an entry out and putting it back makes it the newest. */
class Model {
  readonly entries = new Map<string, Entry>()
  evictions = 0
  private readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  touch(name: string, entry: Entry, now: number): void {
    entry.lastUsed = now
    this.entries.delete(name)
    this.entries.set(name, entry)
  }

  put(name: string, backend: number, now: number): Entry {
    if (!this.entries.has(name) && this.entries.size >= this.capacity) this.evict(now)
    const entry = { backend, lastUsed: now, open: 0 }
    this.touch(name, entry, now)
    return entry
  }

  /** The oldest that carries no connection, if it is found soon. */
  evict(now: number): void {
    for (let tries = 0; ; tries++) {
      const [oldest] = this.entries
      if (oldest === undefined) return
      if (oldest[1].open > 0 && tries < 16) this.touch(...oldest, now)
      else {
        this.entries.delete(oldest[0])
        this.evictions++
        return
      }
    }
  }

  expire(now: number, ttlMs: number): void {
    // Taken before the loop, which moves entries to the end.
    const all = [...this.entries]
    for (const [name, entry] of all) {
      if (now - entry.lastUsed < ttlMs) continue
      if (entry.open === 0) this.entries.delete(name)
      else this.touch(name, entry, now)
    }
  }
}

const steps = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf(["put", "open", "put", "close", "touch", "remove", "wait", "expire", "open"]),
    key: Arbitrary.schema(between(0, 20)),
    app: Arbitrary.schema(between(0, 2)),
    backend: Arbitrary.schema(between(1, 4)),
    pick: Arbitrary.schema(between(0, 1_000))
  }),
  { maxLength: 300 }
)

const TTL_MS = 100

describe("against a Map", () => {
  it.prop(
    "A1, A3: the same bindings, in the same order of use, within the same bound",
    [steps, between(1, 12)],
    ([steps, capacity]) => {
      const table = BindingTable.make(capacity)
      const model = new Model(capacity)
      const opened: Array<{ ref: BindingTable.BindingRef; name: string; entry: Entry }> = []
      let now = 0
      for (const { app, backend, key, kind, pick } of steps) {
        const name = nameOf(key, app)
        const index = table.find(keyNumber(key), app)
        const entry = model.entries.get(name)
        assert.strictEqual(index >= 0, entry !== undefined)
        if (kind === "wait") now += pick % 40
        else if (kind === "put") {
          table.put(keyNumber(key), app, backend, now)
          model.put(name, backend, now)
        } else if (kind === "expire") {
          table.expire(now, TTL_MS, 1_000)
          model.expire(now, TTL_MS)
        } else if (kind === "close") {
          const closed = opened.splice(pick % Math.max(1, opened.length), 1)[0]
          if (closed === undefined) continue
          const holds = model.entries.get(closed.name) === closed.entry
          assert.strictEqual(table.close(closed.ref, now), holds)
          if (!holds) continue
          closed.entry.open--
          model.touch(closed.name, closed.entry, now)
        } else if (entry !== undefined) {
          if (kind === "open") {
            opened.push({ ref: table.open(index), name, entry })
            entry.open++
          } else if (kind === "touch") {
            table.touch(index, now)
            model.touch(name, entry, now)
          } else {
            table.remove(index)
            model.entries.delete(name)
          }
        }
        assert.strictEqual(table.size(), model.entries.size)
        assert.strictEqual(table.evictions(), model.evictions)
        for (const [each, { backend, lastUsed, open }] of model.entries) {
          const [key = 0, app = 0] = each.split(" ").map(Number)
          const at = table.find(keyNumber(key), app)
          assert.deepStrictEqual(
            [table.backendOf(at), table.openOf(at), table.lastUsedOf(at)],
            [backend, open, lastUsed],
            each
          )
        }
      }
    },
    { arbitrary: { runs: 150, size: 300 } }
  )
})

const four = (lo: number): ClientKey => ({ family: 4, hi: 0, lo })

describe("an entry that is gone", () => {
  it("is not closed by a connection that had opened it, even when its room is used again", () => {
    const table = BindingTable.make(10)
    const old = table.open(table.put(four(1), 0, 1, 0))
    table.remove(old.index)
    const fresh = table.put(four(2), 0, 2, 5)
    assert.strictEqual(fresh, old.index, "the room is the same")
    table.open(fresh)
    assert.isFalse(table.close(old, 9))
    assert.deepStrictEqual([table.openOf(fresh), table.lastUsedOf(fresh)], [1, 5])
  })

  it("A2: a connection to the backend left behind no longer holds a binding that names another", () => {
    const table = BindingTable.make(10)
    const index = table.put(four(1), 0, 1, 0)
    const before = table.open(index)
    assert.strictEqual(table.put(four(1), 0, 2, 1), index)
    assert.strictEqual(table.openOf(index), 0)
    const after = table.open(index)
    assert.isFalse(table.close(before, 2))
    assert.strictEqual(table.openOf(index), 1)
    assert.isTrue(table.close(after, 3))
    assert.deepStrictEqual([table.openOf(index), table.lastUsedOf(index)], [0, 3])
  })
})

describe("A3: expiry", () => {
  it("looks at no more than it is told, the oldest first", () => {
    const table = BindingTable.make(100)
    for (let i = 0; i < 10; i++) table.put(four(i), 0, 1, i)
    assert.deepStrictEqual(table.expire(1_000, 500, 4), { seen: 4, removed: 4 })
    for (let i = 0; i < 10; i++) assert.strictEqual(table.find(four(i), 0) >= 0, i >= 4)
    assert.deepStrictEqual(table.expire(506, 500, 100), { seen: 3, removed: 3 })
    assert.deepStrictEqual(table.expire(506, 500, 100), { seen: 0, removed: 0 })
  })

  it("keeps an entry in use, and looks at it again only after another TTL", () => {
    const table = BindingTable.make(100)
    const ref = table.open(table.put(four(1), 0, 1, 0))
    assert.deepStrictEqual(table.expire(500, 500, 100), { seen: 1, removed: 0 })
    assert.deepStrictEqual(table.expire(999, 500, 100), { seen: 0, removed: 0 })
    table.close(ref, 1_000)
    assert.deepStrictEqual(table.expire(1_500, 500, 100), { seen: 1, removed: 1 })
    assert.strictEqual(table.size(), 0)
  })
})

describe("A3: size", () => {
  it("grows over 60,000 entries, drops the oldest beyond, and empties again", () => {
    const [capacity, more] = [60_000, 5_000]
    const table = BindingTable.make(capacity)
    for (let i = 0; i < capacity + more; i++) table.put(keyNumber(i), i & 1, i, i)
    assert.strictEqual(table.size(), capacity)
    assert.strictEqual(table.evictions(), more)
    for (let i = 0; i < capacity + more; i++) {
      const index = table.find(keyNumber(i), i & 1)
      if (i < more) assert.strictEqual(index, -1)
      else assert.strictEqual(table.backendOf(index), i)
    }
    assert.deepStrictEqual(table.expire(1_000_000, 1, Infinity), { seen: capacity, removed: capacity })
    assert.strictEqual(table.size(), 0)
    for (let i = 0; i < 1_000; i++) table.put(keyNumber(i), 0, 7, 0)
    assert.strictEqual(table.size(), 1_000)
  })

  it("of one: each new client takes the place of the last", () => {
    const table = BindingTable.make(1)
    for (let i = 0; i < 5; i++) table.put(four(i), 0, i, i)
    assert.deepStrictEqual([table.size(), table.evictions()], [1, 4])
    assert.strictEqual(table.backendOf(table.find(four(4), 0)), 4)
  })
})
