import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { Bindings, type BindingsOptions } from "../../src/routing/Bindings.ts"
import { clientNumber } from "../support/fixtures.ts"

const layer = (options: Partial<BindingsOptions> = {}) =>
  Bindings.layer({ ttlMs: 10_000, gcIntervalMs: 60_000, max: 100_000, ...options }).pipe(
    Layer.provideMerge(Supervisor.layer)
  )

const key = (index: number) => clientNumber(index).key

/** Binds and ends at once. */
const visit = (bindings: Bindings["Service"], client: number, backend = 1): void => {
  const ref = bindings.bind(key(client), 0, backend)
  if (ref !== undefined) bindings.close(ref)
}

describe("A1: the TTL", () => {
  it.effect("ends exactly when it has passed, long before the collector comes", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      visit(bindings, 1, 7)
      yield* TestClock.adjust(9_999)
      assert.deepInclude(bindings.find(key(1), 0), { backend: 7, open: 0 })
      yield* TestClock.adjust(1)
      assert.isUndefined(bindings.find(key(1), 0))
      assert.strictEqual(bindings.size(), 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("looking does not slide it, using does", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      visit(bindings, 1)
      visit(bindings, 2)
      yield* TestClock.adjust(6_000)
      assert.isDefined(bindings.find(key(1), 0))
      visit(bindings, 2)
      yield* TestClock.adjust(6_000)
      assert.isUndefined(bindings.find(key(1), 0))
      assert.isDefined(bindings.find(key(2), 0))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("runs from the end of the last open connection", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      const [first, second] = [bindings.bind(key(1), 0, 1), bindings.bind(key(1), 0, 1)]
      assert.isDefined(first)
      assert.isDefined(second)
      if (first === undefined || second === undefined) return
      bindings.close(first)
      yield* TestClock.adjust(100_000)
      assert.deepInclude(bindings.find(key(1), 0), { open: 1 })
      bindings.close(second)
      yield* TestClock.adjust(9_999)
      assert.deepInclude(bindings.find(key(1), 0), { open: 0 })
      yield* TestClock.adjust(1)
      assert.isUndefined(bindings.find(key(1), 0))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("0 is off: nothing is bound, and there is no collector", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      assert.isUndefined(bindings.bind(key(1), 0, 1))
      assert.isUndefined(bindings.find(key(1), 0))
      assert.strictEqual(bindings.size(), 0)
      assert.deepStrictEqual((yield* Supervisor).list(), [])
    }).pipe(Effect.provide(layer({ ttlMs: 0 })))
  )
})

describe("A2: binding to another backend", () => {
  it.effect("replaces the binding; connections to the old one no longer count", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      const old = bindings.bind(key(1), 0, 1)
      bindings.bind(key(1), 0, 2)
      assert.deepInclude(bindings.find(key(1), 0), { backend: 2, open: 1 })
      if (old !== undefined) bindings.close(old)
      assert.deepInclude(bindings.find(key(1), 0), { backend: 2, open: 1 })
      assert.strictEqual(bindings.size(), 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a dial that came to nothing forgets the binding, unless another connection holds it", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      const [one, two] = [bindings.bind(key(1), 0, 1), bindings.bind(key(1), 0, 1)]
      if (one === undefined || two === undefined) return assert.fail("not bound")
      bindings.cancel(one)
      assert.deepInclude(bindings.find(key(1), 0), { backend: 1, open: 1 })
      bindings.cancel(two)
      assert.isUndefined(bindings.find(key(1), 0))
      assert.strictEqual(bindings.size(), 0)
      visit(bindings, 2)
      bindings.cancel(one)
      assert.strictEqual(bindings.size(), 1, "a stale one does nothing")
    }).pipe(Effect.provide(layer()))
  )
})

describe("a rehearsal", () => {
  it.effect("finds and tells, and binds nothing, also when it fails", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      visit(bindings, 1, 7)
      yield* TestClock.adjust(4_000)
      const found = bindings.rehearse(() => {
        assert.isUndefined(bindings.bind(key(1), 0, 8))
        assert.isUndefined(bindings.bind(key(2), 0, 8))
        return bindings.find(key(1), 0)?.backend
      })
      assert.deepInclude(found, { result: 7 })
      assert.deepInclude(found.found, { backend: 7, open: 0, leftMs: 6_000 })
      assert.throws(
        () =>
          bindings.rehearse(() => {
            throw new Error("thrown in rehearsal")
          }),
        "thrown in rehearsal"
      )
      assert.isUndefined(bindings.rehearse(() => bindings.find(key(2), 0)).found)
      assert.isDefined(bindings.bind(key(2), 0, 8), "for real again")
      assert.deepInclude(bindings.rehearse(() => bindings.find(key(2), 0)).found, { open: 1, leftMs: undefined })
    }).pipe(Effect.provide(layer()))
  )
})

describe("A3: the collector", () => {
  it.effect("comes on its interval and takes what has expired", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      visit(bindings, 1)
      bindings.bind(key(2), 0, 1)
      yield* TestClock.adjust(55_000)
      visit(bindings, 3)
      assert.strictEqual(bindings.size(), 3)
      yield* TestClock.adjust(4_999)
      assert.strictEqual(bindings.size(), 3)
      yield* TestClock.adjust(1)
      assert.strictEqual(bindings.size(), 2)
      assert.isUndefined(bindings.find(key(1), 0))
      assert.isDefined(bindings.find(key(2), 0), "in use")
      yield* TestClock.adjust(60_000)
      assert.strictEqual(bindings.size(), 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("takes many in one go", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      for (let client = 0; client < 7_001; client++) visit(bindings, client)
      yield* TestClock.adjust(60_000)
      assert.strictEqual(bindings.size(), 0)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("is an actor that shows in the list", () =>
    Effect.gen(function* () {
      yield* Bindings
      assert.deepStrictEqual(
        (yield* Supervisor).list().map(({ name, state }) => [name, state]),
        [["bindings-gc", "running"]]
      )
    }).pipe(Effect.provide(layer()))
  )

  it.effect("counts what had to go for want of room", () =>
    Effect.gen(function* () {
      const bindings = yield* Bindings
      for (let client = 0; client < 15; client++) visit(bindings, client)
      assert.deepStrictEqual([bindings.size(), bindings.evictions()], [10, 5])
      assert.isUndefined(bindings.find(key(4), 0))
      assert.isDefined(bindings.find(key(5), 0))
    }).pipe(Effect.provide(layer({ max: 10 })))
  )
})
