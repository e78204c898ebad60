import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { FIRST_SHARE, shareAfter } from "../../src/domain/SlowStart.ts"
import { between } from "../support/arbitraries.ts"

describe("slow start", () => {
  it("goes straight from a tenth to all of the weight", () => {
    assert.deepStrictEqual(
      [0, 1_000, 2_500, 5_000, 9_999, 10_000, 1e9].map((at) => shareAfter(at, 10_000)),
      [FIRST_SHARE, 0.1, 0.25, 0.5, 0.9999, 1, 1]
    )
  })

  it.prop(
    "never falls, and is never nothing or more than all",
    [
      Arbitrary.schema(between(0, 100_000)),
      Arbitrary.schema(between(0, 100_000)),
      Arbitrary.schema(between(1, 60_000))
    ],
    ([a, b, whole]) => {
      const [early, late] = [shareAfter(Math.min(a, b), whole), shareAfter(Math.max(a, b), whole)]
      assert.isAtLeast(early, FIRST_SHARE)
      assert.isAtMost(late, 1)
      assert.isAtMost(early, late)
    }
  )
})
