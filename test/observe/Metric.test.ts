import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { cellsOf, observe } from "../../src/observe/Metric.ts"
import { between } from "../support/arbitraries.ts"

describe("a histogram", () => {
  const bounds = [1, 5, 25]

  it("counts a value into the first bucket that reaches up to it, bounds included", () => {
    const cells = new Float64Array(cellsOf(bounds))
    for (const value of [0, 1, 1.001, 5, 25, 25.5, 1_000]) observe(cells, 0, bounds, value)
    assert.deepStrictEqual(Array.from(cells.subarray(0, 4)), [2, 2, 1, 2])
  })

  it.prop(
    "has each value in one bucket and in the sum, and leaves its neighbours alone",
    [Arbitrary.array(Arbitrary.schema(between(0, 100))), Arbitrary.schema(between(0, 10))],
    ([values, at]) => {
      const cells = new Float64Array(at + cellsOf(bounds) + 3)
      for (const value of values) observe(cells, at, bounds, value)
      const own = Array.from(cells.subarray(at, at + cellsOf(bounds)))
      const inBuckets = [...bounds, Infinity].map(
        (bound, index) => values.filter((value) => value <= bound && value > (bounds[index - 1] ?? -Infinity)).length
      )
      assert.deepStrictEqual(own, [...inBuckets, values.reduce((sum, value) => sum + value, 0)])
      assert.strictEqual(
        cells.reduce((sum, cell) => sum + cell, 0),
        own.reduce((sum, cell) => sum + cell, 0)
      )
    }
  )
})
