import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { loopDelay } from "../../src/observe/LoopDelay.ts"
import { read } from "../support/exposition.ts"
import { settled } from "../support/settled.ts"

const name = "edgeproxy_event_loop_delay_seconds"

describe("the delay of the event loop", () => {
  it.effect("is looked at ten times a second", () =>
    Effect.gen(function* () {
      const collector = yield* loopDelay
      yield* settled
      yield* TestClock.adjust("2 seconds")
      const page = yield* read([collector])
      assert.strictEqual(page.value(`${name}_count`), 20)
      assert.strictEqual(page.value(`${name}_bucket`, { le: "0.002" }), 20)
    }).pipe(Effect.provide(Supervisor.layer))
  )

  it.live("shows a stall", () =>
    Effect.gen(function* () {
      const collector = yield* loopDelay
      yield* Effect.sleep(10)
      const until = performance.now() + 400
      while (performance.now() < until);
      yield* Effect.sleep(10)
      const page = yield* read([collector])
      const count = page.value(`${name}_count`) ?? 0
      assert.isAtLeast(count, 1)
      // It was due after 100 of the 410 ms.
      assert.strictEqual(count - (page.value(`${name}_bucket`, { le: "0.2" }) ?? 0), 1)
      assert.isAtLeast(page.value(`${name}_sum`) ?? 0, 0.25)
    }).pipe(Effect.provide(Supervisor.layer))
  )
})
