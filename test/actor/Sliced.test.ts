import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { forEachSliced } from "../../src/actor/Sliced.ts"
import { between } from "../support/arbitraries.ts"
import { ticking } from "../support/ticking.ts"

describe("T2: work in slices", () => {
  it.effect.prop("reaches every item in order", [between(0, 3_000), between(0, 5_000)], ([count, micros]) =>
    Effect.gen(function* () {
      const items = Array.from({ length: count }, (_, index) => index)
      const seen: Array<number> = []
      yield* ticking(micros)(forEachSliced(items, (item) => void seen.push(item)))
      assert.deepStrictEqual(seen, items)
    })
  )

  it.effect("gives others their turn every few milliseconds", () =>
    Effect.gen(function* () {
      let turn = 0
      yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => turn++),
            Effect.yieldNow
          )
        )
      )
      const turns: Array<number> = []
      // One millisecond for each look at the clock, and a look for each 64 items: some 200 items in 3 ms.
      yield* ticking(1_000)(forEachSliced(Array.from({ length: 6_400 }), () => void turns.push(turn)))
      const slices = new Map<number, number>()
      for (const at of turns) slices.set(at, (slices.get(at) ?? 0) + 1)
      assert.isAtLeast(slices.size, 15)
      for (const length of slices.values()) assert.isAtMost(length, 400)
    })
  )

  it.effect("does not yield for work that is done in no time", () =>
    Effect.gen(function* () {
      let turn = 0
      yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => turn++),
            Effect.yieldNow
          )
        )
      )
      const turns = new Set<number>()
      yield* ticking(1)(forEachSliced(Array.from({ length: 1_000 }), () => void turns.add(turn)))
      assert.strictEqual(turns.size, 1)
    })
  )
})
