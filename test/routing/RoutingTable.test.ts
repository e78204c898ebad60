import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { SnapshotError, TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { row } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as tableRig from "../support/tableRig.ts"

const { rows } = tableRig

describe("the first table", () => {
  it.effect("is published, applied and stored", () =>
    Effect.gen(function* () {
      const { current, ids, source, storedIds, table } = yield* tableRig.make()
      const first = yield* Effect.forkChild(table.firstTable)
      yield* settled
      assert.isUndefined(first.pollUnsafe())
      assert.deepInclude(table.status(), { version: 0, origin: "none", backends: 0, ageMs: undefined })
      yield* source.rows(...rows(3))
      yield* Fiber.join(first)
      assert.deepStrictEqual(ids(), ["b0", "b1", "b2"])
      assert.deepInclude(table.status(), { version: 1, origin: "source", backends: 3, quarantined: 0, ageMs: 0 })
      assert.deepStrictEqual([...(yield* current).backends.keys()], ["b0", "b1", "b2"])
      assert.deepStrictEqual(yield* storedIds, ["b0", "b1", "b2"])
    })
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      const { source, table } = yield* tableRig.make()
      yield* source.rows()
      yield* table.firstTable
      assert.deepInclude(table.status(), { version: 1, origin: "source", backends: 0 })
    })
  )

  it.effect("is small or large as it likes when none is stored", () =>
    Effect.gen(function* () {
      const { source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "only" }))
      assert.deepInclude(table.status(), { backends: 1, held: undefined })
    })
  )
})

describe("R9: bad rows", () => {
  it.effect("are quarantined with their reason; the others apply", () =>
    Effect.gen(function* () {
      const { current, ids, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "a" }), row({ id: "bad", port: 0 }), row({ id: null }), row({ id: "z" }))
      assert.deepStrictEqual(ids(), ["a", "z"])
      assert.strictEqual(table.status().quarantined, 2)
      const reasons = [...(yield* current).quarantined].map((entry) => entry.join(" "))
      assert.include(reasons[0], "bad")
      assert.include(reasons[0], "port: ")
      assert.include(reasons[1], "id: ")
    })
  )

  it.effect("of rows with the same id the first counts, the others are quarantined", () =>
    Effect.gen(function* () {
      const { current, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "a", port: 1 }), row({ id: "a", port: 2 }), row({ id: "a", port: 3 }))
      assert.strictEqual((yield* current).backends.get("a")?.port, 1)
      assert.strictEqual(table.status().quarantined, 2)
      for (const reason of (yield* current).quarantined.values()) assert.include(reason, "same id")
    })
  )

  it.effect("a deleted row is neither a backend nor bad, and frees its id", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "a", deleted: 1, port: 0 }), row({ id: "a" }), row({ id: "b", deleted: 1 }))
      assert.deepStrictEqual(ids(), ["a"])
      assert.strictEqual(table.status().quarantined, 0)
    })
  )

  it.effect("a backend whose row turns bad leaves, and returns with a good row", () =>
    Effect.gen(function* () {
      const { done, ids, source } = yield* tableRig.make()
      yield* source.rows(...rows(2))
      done()
      yield* source.rows(row({ id: "b0" }), row({ id: "b1", port: 0 }))
      assert.deepStrictEqual([ids(), done()], [["b0"], ["drop b1"]])
      yield* source.rows(...rows(2))
      assert.deepStrictEqual(done(), ["put b1"])
    })
  )
})

describe("T2: only what has changed is touched", () => {
  it.effect("the same rows again publish, apply and store nothing", () =>
    Effect.gen(function* () {
      const { done, source, table } = yield* tableRig.make()
      yield* source.rows(...rows(3), row({ id: "bad", port: 0 }))
      done()
      yield* source.rows(...rows(3), row({ id: "bad", port: 0 }))
      yield* source.unchanged
      assert.deepStrictEqual([table.status().version, done()], [1, []])
    })
  )

  it.effect("one changed row is one put", () =>
    Effect.gen(function* () {
      const { current, done, source, storedIds, table } = yield* tableRig.make()
      yield* source.rows(...rows(3))
      done()
      yield* source.rows(row({ id: "b0" }), row({ id: "b1", weight: 9 }), row({ id: "b2" }))
      assert.deepStrictEqual([table.status().version, done()], [2, ["put b1"]])
      assert.strictEqual((yield* current).backends.get("b1")?.weight, 9)
      assert.deepStrictEqual(yield* storedIds, ["b0", "b1", "b2"])
    })
  )

  it.effect("new backends come before old ones go", () =>
    Effect.gen(function* () {
      const { done, ids, source, storedIds } = yield* tableRig.make()
      yield* source.rows(...rows(2))
      done()
      yield* source.rows(row({ id: "new0" }), row({ id: "new1" }))
      assert.deepStrictEqual(done(), ["put new0", "put new1", "drop b0", "drop b1"])
      assert.deepStrictEqual(ids(), ["new0", "new1"])
      assert.deepStrictEqual(yield* storedIds, ["new0", "new1"])
    })
  )

  it.live("a large table is taken in slices, between which others have their turns", () =>
    Effect.gen(function* () {
      const { source, table } = yield* tableRig.make()
      yield* Effect.forkChild(source.rows(...rows(20_000)))
      let turns = 0
      for (; table.status().version === 0; turns++) yield* Effect.yieldNow
      assert.isAbove(turns, 20)
      assert.strictEqual(table.status().backends, 20_000)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("a published table never changes afterwards", () =>
    Effect.gen(function* () {
      const { current, source } = yield* tableRig.make()
      yield* source.rows(...rows(2))
      const before = yield* current
      yield* source.rows(row({ id: "other" }))
      assert.deepStrictEqual([...before.backends.keys()], ["b0", "b1"])
      assert.deepStrictEqual([...(yield* current).backends.keys()], ["other"])
    })
  )
})

describe("T3: losing the source", () => {
  it.effect("changes nothing but the status", () =>
    Effect.gen(function* () {
      const { done, ids, source, table } = yield* tableRig.make()
      yield* source.rows(...rows(3))
      done()
      yield* TestClock.adjust(4_000)
      yield* source.lost("no answer")
      yield* TestClock.adjust(3_000)
      assert.deepStrictEqual([ids(), done()], [["b0", "b1", "b2"], []])
      const { ageMs, lost, origin, version } = table.status()
      assert.deepStrictEqual([version, origin, ageMs, lost?.detail], [1, "source", 7_000, "no answer"])
      yield* source.unchanged
      assert.deepInclude(table.status(), { lost: undefined, ageMs: 0, version: 1 })
    })
  )

  it.effect("before the first table the stored one serves, until the source is there", () =>
    Effect.gen(function* () {
      const { ids, load, source, table } = yield* tableRig.make(tableRig.holding(rows(2)))
      assert.deepStrictEqual([ids(), table.status().origin], [[], "none"])
      yield* TestClock.adjust(1_000)
      yield* source.lost("no file")
      yield* table.firstTable
      assert.strictEqual((yield* load)?.savedAt, 0, "what is stored is not stored again")
      assert.deepStrictEqual(ids(), ["b0", "b1"])
      assert.deepInclude(table.status(), { version: 1, origin: "snapshot", backends: 2, ageMs: undefined })
      yield* source.rows(...rows(2))
      assert.deepInclude(table.status(), { version: 2, origin: "source", lost: undefined, ageMs: 0 })
    })
  )

  it.effect("a source that answers at once is served at once", () =>
    Effect.gen(function* () {
      const { ids, source, storedIds, table } = yield* tableRig.make(tableRig.holding(rows(2)))
      yield* source.rows(row({ id: "fresh" }))
      assert.deepStrictEqual([ids(), table.status().origin], [["fresh"], "source"])
      assert.deepStrictEqual(yield* storedIds, ["fresh"])
    })
  )

  it.effect("with nothing stored there is no table, and the start is not held up", () =>
    Effect.gen(function* () {
      const { source, table } = yield* tableRig.make()
      const first = yield* Effect.forkChild(table.firstTable)
      yield* source.lost("no file")
      assert.isUndefined(first.pollUnsafe())
      assert.deepInclude(table.status(), { version: 0, origin: "none" })
      assert.strictEqual(table.status().lost?.detail, "no file")
    })
  )

  it.effect("a stored table that can't be read, or stored, stops nothing", () =>
    Effect.gen(function* () {
      const broken = new SnapshotError({ path: "/dev/full", detail: "no space" })
      const saves: Array<number> = []
      const store = Layer.succeed(TableSnapshotStore, {
        load: Effect.fail(broken),
        save: ({ rows }) =>
          Effect.andThen(
            Effect.sync(() => saves.push(rows.length)),
            Effect.fail(broken)
          )
      })
      const { source, table } = yield* tableRig.make(store)
      yield* source.rows(...rows(2))
      yield* source.rows(...rows(3))
      assert.deepInclude(table.status(), { version: 2, backends: 3 })
      assert.deepStrictEqual(saves, [2, 3])
    })
  )

  it.effect("a table that could not be stored is stored once it can be, though it has not changed since", () =>
    Effect.gen(function* () {
      let full = true
      const saves: Array<number> = []
      const store = Layer.succeed(TableSnapshotStore, {
        load: Effect.succeed(undefined),
        save: ({ rows }) =>
          Effect.suspend(() => {
            saves.push(rows.length)
            return full ? Effect.fail(new SnapshotError({ path: "/dev/full", detail: "no space" })) : Effect.void
          })
      })
      const { source } = yield* tableRig.make(store)
      yield* source.rows(...rows(2))
      yield* source.unchanged
      assert.deepStrictEqual(saves, [2], "not at every look")
      yield* TestClock.adjust("10 seconds")
      yield* source.unchanged
      assert.deepStrictEqual(saves, [2, 2])
      full = false
      yield* TestClock.adjust("10 seconds")
      yield* source.unchanged
      yield* TestClock.adjust("10 seconds")
      yield* source.unchanged
      assert.deepStrictEqual(saves, [2, 2, 2])
    })
  )
})
