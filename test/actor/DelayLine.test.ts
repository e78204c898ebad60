import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as DelayLine from "../../src/actor/DelayLine.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { settled } from "../support/settled.ts"

const make = Effect.fnUntraced(function* (delayMs: number) {
  const due: Array<string> = []
  const options = { name: "line", delayMs, due: (item: string) => void due.push(item) }
  const line = yield* DelayLine.make<string>(options)
  yield* settled
  return { due, line, options }
})

const pass = (ms: number) => Effect.andThen(TestClock.adjust(ms), settled)

describe("a delay line", () => {
  it.effect("gives back each item after its time, in order", () =>
    Effect.gen(function* () {
      const { due, line } = yield* make(5_000)
      line.push("a")
      yield* pass(3_000)
      line.push("b")
      yield* pass(1_999)
      assert.deepStrictEqual([due, line.size()], [[], 2])
      yield* pass(1)
      assert.deepStrictEqual(due, ["a"])
      yield* pass(3_000)
      assert.deepStrictEqual([due, line.size()], [["a", "b"], 0])
    }).pipe(Effect.provide(Supervisor.layer))
  )

  it.effect("has another delay for those that wait too, a longer or a shorter one", () =>
    Effect.gen(function* () {
      const { due, line, options } = yield* make(5_000)
      line.push("a")
      yield* pass(1_000)
      options.delayMs = 60_000
      yield* pass(30_000)
      assert.deepStrictEqual(due, [])
      options.delayMs = 20_000
      yield* pass(1_000)
      assert.deepStrictEqual(due, ["a"])
    }).pipe(Effect.provide(Supervisor.layer))
  )
})
