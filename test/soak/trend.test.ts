import { assert, describe, it } from "@effect/vitest"
import { lows, type Point, rises, slopeOf } from "./trend.ts"

const MINUTE_MS = 60_000

/** A value every five seconds for so many minutes. */
const series = (minutes: number, value: (minute: number) => number): ReadonlyArray<Point> =>
  Array.from({ length: minutes * 12 }, (_, index) => ({ ms: index * 5_000, value: value(index / 12) }))

/** A heap that fills for two thirds of a minute, is collected, and leaks so much an hour. */
const sawtooth = (perHour: number) => (minute: number) => 20 + ((minute * 1.5) % 1) * 15 + (perHour * minute) / 60

describe("a trend", () => {
  it("has the slope of its line, and no error", () => {
    const { error, perHour } = slopeOf(series(10, (minute) => 100 + minute * 2))
    assert.approximately(perHour, 120, 1e-6)
    assert.approximately(error, 0, 1e-6)
  })

  it("is not known from two points", () => {
    assert.isNaN(slopeOf(series(1, () => 1).slice(0, 2)).perHour)
  })

  it("is that of what is left after each collection", () => {
    const flat = slopeOf(lows(series(15, sawtooth(0)), MINUTE_MS))
    assert.isBelow(Math.abs(flat.perHour), 5)
    const leaking = slopeOf(lows(series(15, sawtooth(60)), MINUTE_MS))
    assert.approximately(leaking.perHour, 60, 10)
    assert.isFalse(rises(flat, 10))
    assert.isTrue(rises(leaking, 10))
  })

  it("leaves out a stretch that has only begun", () => {
    const points = lows(series(3, (minute) => (minute > 2.5 ? -1 : minute)).slice(0, -3), MINUTE_MS)
    assert.deepStrictEqual(
      points.map(({ ms }) => ms),
      [0, MINUTE_MS]
    )
  })

  it("does not rise by chance", () => {
    assert.isFalse(rises({ perHour: 30, error: 20 }, 10))
    assert.isTrue(rises({ perHour: 30, error: 10 }, 10))
    assert.isFalse(rises({ perHour: -30, error: 1 }, 10))
  })
})
