import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Scope from "effect/Scope"
import { FiberCensus } from "../../src/actor/FiberCensus.ts"
import { settled } from "../support/settled.ts"

describe("the census of fibers", () => {
  it.effect("counts each from its start to its end, however it ends", () =>
    Effect.gen(function* () {
      const { live, started } = yield* FiberCensus
      const [before, startedBefore] = [live(), started()]
      const gate = yield* Deferred.make<void>()
      const ends = [Effect.void, Effect.fail("no"), Effect.die("oh"), Effect.never]
      const fibers = yield* Effect.forEach(ends, (end) => Effect.forkDetach(Effect.andThen(Deferred.await(gate), end)))
      yield* settled
      assert.strictEqual(live() - before, ends.length)
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      assert.strictEqual(live() - before, 1)
      yield* Effect.forEach(fibers, Fiber.interrupt)
      assert.deepStrictEqual([live() - before, started() - startedBefore], [0, ends.length])
    }).pipe(Effect.provide(FiberCensus.layer))
  )

  it.effect("counts those that callbacks start, and of children", () =>
    Effect.gen(function* () {
      const { live } = yield* FiberCensus
      const before = live()
      const scope = yield* Scope.make()
      const actors = yield* Effect.provideService(FiberMap.make<string>(), Scope.Scope, scope)
      const run = yield* FiberMap.runtime(actors)()
      run("a", Effect.all([Effect.never, Effect.never], { concurrency: 2 }))
      run("b", Effect.never)
      yield* settled
      assert.strictEqual(live() - before, 4)
      yield* Scope.close(scope, Exit.void)
      yield* settled
      assert.strictEqual(live(), before)
    }).pipe(Effect.provide(FiberCensus.layer))
  )
})
