import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Demand from "../../src/domain/Demand.ts"

const WINDOW_MS = 10_000

const after = (...times: ReadonlyArray<number>): Demand.Demand =>
  times.reduce((demand, at) => Demand.used(demand, at, WINDOW_MS), Demand.none)

const Times = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })))

describe("Demand", () => {
  it("is nothing for who was never used", () => {
    assert.strictEqual(Demand.peak(Demand.none, 0, WINDOW_MS), 0)
    assert.strictEqual(Demand.peak(Demand.none, 1e9, WINDOW_MS), 0)
  })

  it("is what the busiest second wanted, not the sum", () => {
    assert.strictEqual(Demand.peak(after(0, 100, 200, 5_000, 5_100), 5_200, WINDOW_MS), 3)
  })

  it("is one for a single use, until a window without any is over", () => {
    const demand = after(500)
    for (const now of [500, 5_000, 10_400]) assert.strictEqual(Demand.peak(demand, now, WINDOW_MS), 1)
    assert.strictEqual(Demand.peak(demand, 19_000, WINDOW_MS), 1)
    assert.strictEqual(Demand.peak(demand, 20_600, WINDOW_MS), 0)
  })

  it("forgets a busy second after two windows, with less use since", () => {
    const busy = after(0, 1, 2, 3, 4)
    const calm = [4_000, 8_000, 12_000, 16_000, 20_000, 24_000].reduce(
      (demand, at) => Demand.used(demand, at, WINDOW_MS),
      busy
    )
    assert.strictEqual(Demand.peak(calm, 24_000, WINDOW_MS), 1)
  })

  it.prop(
    "is never less than the last second wanted nor more than all, and none after two windows",
    [Times],
    ([drawn]) => {
      const times = drawn.toSorted((a, b) => a - b)
      const demand = after(...times)
      const last = times.at(-1)
      if (last === undefined) return
      const now = Demand.peak(demand, last, WINDOW_MS)
      assert.isAtLeast(now, 1)
      assert.isAtMost(now, times.filter((at) => at > last - 2 * WINDOW_MS - 1_000).length)
      assert.strictEqual(Demand.peak(demand, last + 2 * WINDOW_MS, WINDOW_MS), 0)
    }
  )
})
