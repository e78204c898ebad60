import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { monotonicMs } from "../../src/actor/Monotonic.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { LoopDelay } from "../../src/observe/LoopDelay.ts"
import { Admission } from "../../src/traffic/Admission.ts"
import { Overload } from "../../src/traffic/Overload.ts"
import { settled } from "../support/settled.ts"

/** An overload watch whose loop and memory the test plays. */
const make = Effect.gen(function* () {
  const now = yield* monotonicMs
  const looks: Array<{ readonly at: number; readonly late: number }> = []
  const lines: Array<string> = []
  const played = { late: 0, share: 0.5, collected: 0 }
  const loop = LoopDelay.of({
    cells: new Float64Array(0),
    since: (from) =>
      looks
        .filter(({ at }) => at >= from)
        .map(({ late }) => late)
        .sort((a, b) => b - a)
  })
  const options = {
    loopDelayMs: 200,
    memoryShare: 0.9,
    memory: {
      share: Effect.sync(() => played.share),
      collect: Effect.sync(() => void played.collected++)
    }
  }
  const layer = Overload.layer(options).pipe(
    Layer.provideMerge(Layer.mergeAll(Layer.succeed(LoopDelay, loop), Admission.layer(100), Supervisor.layer)),
    Layer.provideMerge(
      Logger.layer([
        Logger.make<unknown, void>(({ message }) => {
          const [text, fields] = Array.isArray(message) ? message : [message]
          lines.push(`${String(text)} ${JSON.stringify(fields)}`)
        })
      ])
    )
  )
  const services = yield* Layer.build(layer)
  yield* settled
  return yield* Effect.gen(function* () {
    const admission = yield* Admission
    const overload = yield* Overload
    return {
      played,
      lines: () => lines.filter((line) => line.includes("overloaded")),
      admission,
      overload,
      /** So long a time, in which the loop was looked at twenty times a second. */
      pass: Effect.fnUntraced(function* (ms: number, late = 0) {
        for (let passed = 0; passed < ms; passed += 50) {
          yield* TestClock.adjust(50)
          looks.push({ at: now(), late })
          yield* settled
        }
      })
    }
  }).pipe(Effect.provideContext(services))
})

describe("C5: an overloaded control loop", () => {
  it.effect("takes nobody, until it has not been late for a second; said once each", () =>
    Effect.gen(function* () {
      const { admission, lines, overload, pass } = yield* make
      yield* pass(5_000, 199)
      assert.isUndefined(admission.paused())
      yield* pass(250, 250)
      assert.strictEqual(admission.paused(), "overload")
      assert.isTrue(overload.isOver("loop"))
      yield* pass(3_000, 150)
      assert.strictEqual(admission.paused(), "overload")
      yield* pass(900, 50)
      assert.strictEqual(admission.paused(), "overload")
      yield* pass(300, 50)
      assert.isUndefined(admission.paused())
      assert.deepStrictEqual([overload.isOver("loop"), overload.times("loop")], [false, 1])
      assert.deepStrictEqual(lines(), [
        'overloaded: nobody is accepted {"resource":"loop","delay_ms":250,"limit_ms":200}',
        'no longer overloaded {"resource":"loop","delay_ms":50,"limit_ms":200}'
      ])
    })
  )

  it.effect("is none for a stall or two in ten seconds", () =>
    Effect.gen(function* () {
      const { admission, pass } = yield* make
      for (let round = 0; round < 3; round++) {
        yield* pass(100, 5_000)
        yield* pass(12_000)
        assert.isUndefined(admission.paused())
      }
      yield* pass(50, 300)
      yield* pass(3_000)
      yield* pass(50, 300)
      yield* pass(3_000)
      yield* pass(50, 300)
      yield* pass(200)
      assert.strictEqual(admission.paused(), "overload")
    })
  )

  it.effect("begins again only when it is late again", () =>
    Effect.gen(function* () {
      const { admission, overload, pass } = yield* make
      yield* pass(400, 300)
      yield* pass(1_500)
      assert.isUndefined(admission.paused())
      yield* pass(20_000)
      assert.strictEqual(overload.times("loop"), 1)
    })
  )
})

describe("C5: memory pressure", () => {
  it.effect("takes nobody until a twentieth is free again, and has garbage collected meanwhile", () =>
    Effect.gen(function* () {
      const { admission, lines, overload, pass, played } = yield* make
      played.share = 0.9
      yield* pass(3_000)
      assert.isUndefined(admission.paused())
      played.share = 0.91
      yield* pass(1_500)
      assert.strictEqual(admission.paused(), "overload")
      assert.strictEqual(played.collected, 1)
      played.share = 0.86
      yield* pass(21_000)
      assert.strictEqual(admission.paused(), "overload")
      assert.strictEqual(played.collected, 3)
      played.share = 0.85
      yield* pass(1_500)
      assert.isUndefined(admission.paused())
      assert.strictEqual(overload.times("memory"), 1)
      assert.deepStrictEqual(lines(), [
        'overloaded: nobody is accepted {"resource":"memory","used_percent":91,"limit_percent":90}',
        'no longer overloaded {"resource":"memory","used_percent":85,"limit_percent":90}'
      ])
    })
  )

  it.effect("and a late loop each have to pass", () =>
    Effect.gen(function* () {
      const { admission, overload, pass, played } = yield* make
      played.share = 1
      yield* pass(2_000, 300)
      assert.deepStrictEqual([overload.isOver("loop"), overload.isOver("memory")], [true, true])
      yield* pass(2_000)
      assert.deepStrictEqual([overload.isOver("loop"), overload.isOver("memory")], [false, true])
      assert.strictEqual(admission.paused(), "overload")
      played.share = 0.1
      yield* pass(1_500)
      assert.isUndefined(admission.paused())
    })
  )
})
