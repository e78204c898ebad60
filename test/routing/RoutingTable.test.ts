import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { SnapshotError, type StoredTable, TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import * as Upstreams from "../../src/routing/Upstreams.ts"
import { row } from "../support/fixtures.ts"
import * as ScriptedSource from "../support/ScriptedSource.ts"
import { settled } from "../support/settled.ts"

/** `b0`, `b1` ... */
const rows = (count: number, fields: BackendRow = {}): ReadonlyArray<BackendRow> =>
  Array.from({ length: count }, (_, index) => row({ id: `b${index}`, ...fields }))

const HOLD_MS = 60_000

/** A table fed by a script, with a record of what is done to the upstreams. */
const start = Effect.fnUntraced(function* (store: Layer.Layer<TableSnapshotStore> = TableSnapshotStore.layerMemory()) {
  const source = yield* ScriptedSource.make
  const calls: Array<string> = []
  const upstreams = Upstreams.make({ spillAt: "hard" })
  const recording = Layer.succeed(Upstreams.Upstreams, {
    ...upstreams,
    put: (backend) => {
      calls.push(`put ${backend.id}`)
      upstreams.put(backend)
    },
    drop: (id) => {
      calls.push(`drop ${id}`)
      upstreams.drop(id)
    }
  })
  const services = yield* Layer.build(
    RoutingTable.layer({ maxShrink: 0.5, holdMs: HOLD_MS }).pipe(
      Layer.provideMerge(Layer.mergeAll(source.layer, recording, store)),
      Layer.provideMerge(Supervisor.layer)
    )
  )
  yield* settled
  return yield* Effect.gen(function* () {
    const table = yield* RoutingTable
    const supervisor = yield* Supervisor
    const { load } = yield* TableSnapshotStore
    const ids = (): ReadonlyArray<string> =>
      Array.from(upstreams.all(), (upstream) => upstream.backend.id).filter((id) => upstreams.get(id) !== undefined)
    const stored = Effect.map(load, (saved) => saved?.rows.map(({ id }) => id))
    const current = SubscriptionRef.get(table.snapshot)
    /** What has been done to the upstreams since the last look. */
    const done = (): ReadonlyArray<string> => calls.splice(0)
    /** No message has made the actor fail. */
    const sound = (): boolean => supervisor.list().every(({ restarts }) => restarts === 0)
    return { source, table, ids, load, stored, current, done, sound }
  }).pipe(Effect.provideContext(services))
})

const storedRows = (rows: ReadonlyArray<BackendRow>): StoredTable => ({ savedAt: 0, rows })

describe("the first table", () => {
  it.effect("is published, applied and stored", () =>
    Effect.gen(function* () {
      const { current, ids, source, stored, table } = yield* start()
      const first = yield* Effect.forkChild(table.firstTable)
      yield* settled
      assert.isUndefined(first.pollUnsafe())
      assert.deepInclude(table.status(), { version: 0, origin: "none", backends: 0, ageMs: undefined })
      yield* source.rows(...rows(3))
      yield* Fiber.join(first)
      assert.deepStrictEqual(ids(), ["b0", "b1", "b2"])
      assert.deepInclude(table.status(), { version: 1, origin: "source", backends: 3, quarantined: 0, ageMs: 0 })
      assert.deepStrictEqual([...(yield* current).backends.keys()], ["b0", "b1", "b2"])
      assert.deepStrictEqual(yield* stored, ["b0", "b1", "b2"])
    })
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      const { source, table } = yield* start()
      yield* source.rows()
      yield* table.firstTable
      assert.deepInclude(table.status(), { version: 1, origin: "source", backends: 0 })
    })
  )

  it.effect("is small or large as it likes when none is stored", () =>
    Effect.gen(function* () {
      const { source, table } = yield* start()
      yield* source.rows(row({ id: "only" }))
      assert.deepInclude(table.status(), { backends: 1, held: undefined })
    })
  )
})

describe("R9: bad rows", () => {
  it.effect("are quarantined with their reason; the others apply", () =>
    Effect.gen(function* () {
      const { current, ids, source, table } = yield* start()
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
      const { current, source, table } = yield* start()
      yield* source.rows(row({ id: "a", port: 1 }), row({ id: "a", port: 2 }), row({ id: "a", port: 3 }))
      assert.strictEqual((yield* current).backends.get("a")?.port, 1)
      assert.strictEqual(table.status().quarantined, 2)
      for (const reason of (yield* current).quarantined.values()) assert.include(reason, "same id")
    })
  )

  it.effect("a deleted row is neither a backend nor bad, and frees its id", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* start()
      yield* source.rows(row({ id: "a", deleted: 1, port: 0 }), row({ id: "a" }), row({ id: "b", deleted: 1 }))
      assert.deepStrictEqual(ids(), ["a"])
      assert.strictEqual(table.status().quarantined, 0)
    })
  )

  it.effect("a backend whose row turns bad leaves, and returns with a good row", () =>
    Effect.gen(function* () {
      const { done, ids, source } = yield* start()
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
      const { done, source, table } = yield* start()
      yield* source.rows(...rows(3), row({ id: "bad", port: 0 }))
      done()
      yield* source.rows(...rows(3), row({ id: "bad", port: 0 }))
      yield* source.unchanged
      assert.deepStrictEqual([table.status().version, done()], [1, []])
    })
  )

  it.effect("one changed row is one put", () =>
    Effect.gen(function* () {
      const { current, done, source, stored, table } = yield* start()
      yield* source.rows(...rows(3))
      done()
      yield* source.rows(row({ id: "b0" }), row({ id: "b1", weight: 9 }), row({ id: "b2" }))
      assert.deepStrictEqual([table.status().version, done()], [2, ["put b1"]])
      assert.strictEqual((yield* current).backends.get("b1")?.weight, 9)
      assert.deepStrictEqual(yield* stored, ["b0", "b1", "b2"])
    })
  )

  it.effect("new backends come before old ones go", () =>
    Effect.gen(function* () {
      const { done, ids, source, stored } = yield* start()
      yield* source.rows(...rows(2))
      done()
      yield* source.rows(row({ id: "new0" }), row({ id: "new1" }))
      assert.deepStrictEqual(done(), ["put new0", "put new1", "drop b0", "drop b1"])
      assert.deepStrictEqual(ids(), ["new0", "new1"])
      assert.deepStrictEqual(yield* stored, ["new0", "new1"])
    })
  )

  it.live("a large table is taken in slices, between which others have their turns", () =>
    Effect.gen(function* () {
      const { source, table } = yield* start()
      yield* Effect.forkChild(source.rows(...rows(20_000)))
      let turns = 0
      for (; table.status().version === 0; turns++) yield* Effect.yieldNow
      assert.isAbove(turns, 20)
      assert.strictEqual(table.status().backends, 20_000)
    })
  )

  it.effect("a published table never changes afterwards", () =>
    Effect.gen(function* () {
      const { current, source } = yield* start()
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
      const { done, ids, source, table } = yield* start()
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
      const { ids, load, source, table } = yield* start(TableSnapshotStore.layerMemory(storedRows(rows(2))))
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
      const { ids, source, stored, table } = yield* start(TableSnapshotStore.layerMemory(storedRows(rows(2))))
      yield* source.rows(row({ id: "fresh" }))
      assert.deepStrictEqual([ids(), table.status().origin], [["fresh"], "source"])
      assert.deepStrictEqual(yield* stored, ["fresh"])
    })
  )

  it.effect("with nothing stored there is no table, and the start is not held up", () =>
    Effect.gen(function* () {
      const { source, table } = yield* start()
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
      const source = yield* ScriptedSource.make
      const layer = RoutingTable.layer({ maxShrink: 0.5, holdMs: HOLD_MS }).pipe(
        Layer.provide([source.layer, store, Upstreams.Upstreams.layer({ spillAt: "hard" }), Supervisor.layer])
      )
      yield* Effect.gen(function* () {
        const table = yield* RoutingTable
        yield* source.rows(...rows(2))
        yield* source.rows(...rows(3))
        assert.deepInclude(table.status(), { version: 2, backends: 3 })
        assert.deepStrictEqual(saves, [2, 3])
      }).pipe(Effect.provide(layer))
    })
  )
})

describe("T5: the safety gate", () => {
  const settledTable = Effect.gen(function* () {
    const all = yield* start()
    yield* all.source.rows(...rows(10))
    all.done()
    return all
  })

  it.effect("holds what would remove more than its share", () =>
    Effect.gen(function* () {
      const { done, ids, source, stored, table } = yield* settledTable
      yield* source.rows(...rows(4))
      assert.deepStrictEqual([ids().length, done(), table.status().version], [10, [], 1])
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 6 })
      assert.strictEqual((yield* stored)?.length, 10)
    })
  )

  it.effect("passes what removes no more than that", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* settledTable
      yield* source.rows(...rows(5))
      assert.deepStrictEqual([ids().length, table.status().held], [5, undefined])
    })
  )

  it.effect("counts those that turn unhealthy, bad or deleted, not those that were out anyway", () =>
    Effect.gen(function* () {
      const { source, table } = yield* start()
      yield* source.rows(
        ...rows(6),
        ...rows(6, { healthy: 0 }).map((each) => ({ ...each, id: `down-${String(each["id"])}` }))
      )
      yield* source.rows(
        row({ id: "b0" }),
        row({ id: "b1", healthy: 0 }),
        row({ id: "b2", healthy: 0 }),
        row({ id: "b3", port: 0 }),
        row({ id: "b4", deleted: 1 }),
        row({ id: "b5" })
      )
      assert.deepStrictEqual(table.status().held, { eligible: 6, lost: 4 })
    })
  )

  it.effect("lets an operator take the held update", () =>
    Effect.gen(function* () {
      const { ids, source, stored, table } = yield* settledTable
      assert.isFalse(yield* table.confirm)
      yield* source.rows(...rows(1))
      assert.isTrue(yield* table.confirm)
      assert.deepStrictEqual([ids(), yield* stored], [["b0"], ["b0"]])
      assert.deepInclude(table.status(), { held: undefined, version: 2, backends: 1 })
      assert.isFalse(yield* table.confirm)
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.strictEqual(table.status().version, 2)
    })
  )

  it.effect("takes it by itself once it has stood unchanged for the hold time", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* settledTable
      yield* source.rows(...rows(1))
      yield* TestClock.adjust(HOLD_MS / 2)
      // Seen again, and an empty look between: it has stood.
      yield* source.rows(...rows(1))
      yield* source.unchanged
      yield* TestClock.adjust(HOLD_MS / 2 - 1)
      yield* settled
      assert.strictEqual(ids().length, 10)
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual([ids(), table.status().held], [["b0"], undefined])
    })
  )

  it.effect("waits anew for an update that differs from the held one", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* settledTable
      yield* source.rows(...rows(1))
      yield* TestClock.adjust(HOLD_MS - 1)
      yield* source.rows(...rows(2))
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      yield* TestClock.adjust(HOLD_MS - 1)
      yield* settled
      assert.strictEqual(ids().length, 10)
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual(ids(), ["b0", "b1"])
    })
  )

  it.effect("a smaller update takes the place of a held one", () =>
    Effect.gen(function* () {
      const { ids, sound, source, table } = yield* settledTable
      yield* source.rows(...rows(1))
      yield* source.rows(...rows(9))
      assert.deepStrictEqual([ids().length, table.status().held], [9, undefined])
      assert.isFalse(yield* table.confirm)
      yield* TestClock.adjust(2 * HOLD_MS)
      yield* settled
      assert.deepStrictEqual([ids().length, sound()], [9, true])
    })
  )

  it.effect("the old table again ends the hold", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* settledTable
      yield* source.rows()
      yield* source.rows(...rows(10))
      assert.isUndefined(table.status().held)
      yield* TestClock.adjust(2 * HOLD_MS)
      yield* settled
      assert.deepStrictEqual([ids().length, table.status().version], [10, 1])
    })
  )

  it.effect("the age of the table runs on while what the source says is held", () =>
    Effect.gen(function* () {
      const { source, table } = yield* settledTable
      yield* TestClock.adjust(1_000)
      yield* source.rows(...rows(1))
      yield* TestClock.adjust(1_000)
      yield* source.unchanged
      assert.strictEqual(table.status().ageMs, 2_000)
    })
  )

  it.effect("fewer than four are never held", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* start()
      yield* source.rows(...rows(3))
      yield* source.rows()
      assert.deepStrictEqual([ids(), table.status().held], [[], undefined])
    })
  )

  it.effect("at the start it measures against the stored table, which serves meanwhile", () =>
    Effect.gen(function* () {
      const { ids, source, stored, table } = yield* start(TableSnapshotStore.layerMemory(storedRows(rows(10))))
      yield* source.rows(...rows(2))
      yield* table.firstTable
      assert.strictEqual(ids().length, 10)
      assert.deepInclude(table.status(), { origin: "snapshot", version: 1 })
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      assert.strictEqual((yield* stored)?.length, 10)
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.deepStrictEqual(ids(), ["b0", "b1"])
      assert.deepInclude(table.status(), { origin: "source", version: 2, held: undefined })
      assert.deepStrictEqual(yield* stored, ["b0", "b1"])
    })
  )

  it.effect("losing the source does not drop what is held", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* settledTable
      yield* source.rows(...rows(2))
      yield* source.lost("gone")
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      assert.isTrue(yield* table.confirm)
      assert.deepStrictEqual(ids(), ["b0", "b1"])
    })
  )
})
