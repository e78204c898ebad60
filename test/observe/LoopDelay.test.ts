import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { LoopDelay, loopDelayMetric } from "../../src/observe/LoopDelay.ts"
import { read } from "../support/exposition.ts"
import { settled } from "../support/settled.ts"

const withLoop = Layer.provide(LoopDelay.layer, Supervisor.layer)

const name = "edgeproxy_event_loop_delay_seconds"

describe("the delay of the event loop", () => {
  it.effect("is looked at twenty times a second", () =>
    Effect.gen(function* () {
      const collector = yield* loopDelayMetric
      yield* settled
      yield* TestClock.adjust("2 seconds")
      const page = yield* read([collector])
      assert.strictEqual(page.value(`${name}_count`), 40)
      assert.strictEqual(page.value(`${name}_bucket`, { le: "0.002" }), 40)
    }).pipe(Effect.provide(withLoop))
  )

  it.effect("is known of late, longest first", () =>
    Effect.gen(function* () {
      const { since } = yield* LoopDelay
      assert.deepStrictEqual(since(0), [])
      yield* settled
      yield* TestClock.adjust("60 seconds")
      assert.lengthOf(since(59_001), 20)
      // No more than are kept.
      assert.lengthOf(since(0), 256)
    }).pipe(Effect.provide(withLoop))
  )

  it.live("shows a stall", () =>
    Effect.gen(function* () {
      const collector = yield* loopDelayMetric
      yield* Effect.sleep(10)
      const until = performance.now() + 400
      while (performance.now() < until);
      yield* Effect.sleep(10)
      const page = yield* read([collector])
      const count = page.value(`${name}_count`) ?? 0
      assert.isAtLeast(count, 1)
      // It was due after 50 of the 410 ms.
      assert.strictEqual(count - (page.value(`${name}_bucket`, { le: "0.2" }) ?? 0), 1)
      assert.isAtLeast(page.value(`${name}_sum`) ?? 0, 0.25)
      const [longest = 0, next = 0] = (yield* LoopDelay).since(0)
      assert.isAtLeast(longest, 250)
      assert.isBelow(next, longest)
    }).pipe(Effect.provide(withLoop))
  )
})
