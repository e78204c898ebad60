import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as TokenBucket from "../../src/domain/TokenBucket.ts"
import { between } from "../support/arbitraries.ts"

const fresh = -Infinity

/** As in the books: tokens that are counted, and added by the clock. In units that have no fractions. */
const reference = (burst: number, everyMs: number) => {
  let units = burst * everyMs
  let at = 0
  return (now: number): boolean => {
    units = Math.min(burst * everyMs, units + (now - at))
    at = now
    if (units < everyMs) return false
    units -= everyMs
    return true
  }
}

const pauses = Arbitrary.array(Arbitrary.schema(between(0, 400)), { minLength: 1, maxLength: 200 })

describe("H4: a token bucket", () => {
  it.prop(
    "admits just what one that counts its tokens admits",
    [between(1, 20), between(1, 300), pauses, between(0, 2_000_000_000)],
    ([burst, everyMs, waits, start]) => {
      const rate = { burst, perMs: 1 / everyMs }
      const expected = reference(burst, everyMs)
      let fullAt = fresh
      let now = 0
      for (const wait of waits) {
        now += wait
        const taken = TokenBucket.take(fullAt, rate, start + now)
        assert.strictEqual(taken !== undefined, expected(now))
        if (taken !== undefined) fullAt = taken
      }
    }
  )

  it.prop(
    "never admits more than burst and refill together, in any stretch of time",
    [between(1, 50), between(1, 1_000), pauses],
    ([burst, perSecond, waits]) => {
      const rate = { burst, perMs: perSecond / 1_000 }
      const admitted: Array<number> = []
      let fullAt = fresh
      let now = 1e9
      for (const wait of waits) {
        now += wait / 7
        const taken = TokenBucket.take(fullAt, rate, now)
        if (taken === undefined) continue
        fullAt = taken
        admitted.push(now)
      }
      for (const [first, from] of admitted.entries()) {
        for (let last = first; last < admitted.length; last++) {
          const to = admitted[last] ?? 0
          assert.isAtMost(last - first + 1, burst + (to - from) * rate.perMs + 0.01)
        }
      }
    }
  )

  it("has its burst at first, then one token in each interval", () => {
    const rate = { burst: 3, perMs: 0.1 }
    let fullAt: number = fresh
    const take = (now: number): boolean => {
      const taken = TokenBucket.take(fullAt, rate, now)
      fullAt = taken ?? fullAt
      return taken !== undefined
    }
    assert.deepStrictEqual([0, 0, 0, 0, 9, 10, 10, 20, 1_000, 1_000, 1_000, 1_000].map(take), [
      true,
      true,
      true,
      false,
      false,
      true,
      false,
      true,
      true,
      true,
      true,
      false
    ])
  })

  it("gives no tokens for a clock that goes back", () => {
    const rate = { burst: 1, perMs: 0.001 }
    const fullAt = TokenBucket.take(fresh, rate, 5_000) ?? fresh
    assert.strictEqual(TokenBucket.take(fullAt, rate, 4_000), undefined)
    assert.strictEqual(TokenBucket.take(fullAt, rate, 5_999 - 10), undefined)
    assert.isDefined(TokenBucket.take(fullAt, rate, 6_000))
  })

  it.prop(
    "says when the next one can be had",
    [between(1, 20), between(1, 300), between(1, 20)],
    ([burst, everyMs, taken]) => {
      const rate = { burst, perMs: 1 / everyMs }
      let fullAt = fresh
      for (let index = 0; index < taken; index++) fullAt = TokenBucket.take(fullAt, rate, 1_000) ?? fullAt
      const wait = TokenBucket.waitMs(fullAt, rate, 1_000)
      assert.strictEqual(wait > 0, taken >= burst)
      if (wait > 1) assert.isUndefined(TokenBucket.take(fullAt, rate, 1_000 + wait - 1))
      assert.isDefined(TokenBucket.take(fullAt, rate, 1_000 + wait))
    }
  )

  it("has nobody wait for the last bits of a double", () => {
    const rate = { burst: 4, perMs: 1 / 186 }
    let fullAt = fresh
    for (let index = 0; index < 3; index++) fullAt = TokenBucket.take(fullAt, rate, 1_000) ?? fullAt
    assert.isBelow(TokenBucket.tokensAt(fullAt, rate, 1_000), 1)
    assert.strictEqual(TokenBucket.waitMs(fullAt, rate, 1_000), 0)
  })

  it("keeps what was taken when the rate changes", () => {
    const from = { burst: 10, perMs: 0.1 }
    let fullAt: number = fresh
    for (let index = 0; index < 4; index++) fullAt = TokenBucket.take(fullAt, from, 0) ?? fresh
    const tokens = (to: TokenBucket.Rate): number =>
      TokenBucket.tokensAt(TokenBucket.convert(fullAt, from, to, 0), to, 0)
    assert.closeTo(tokens({ burst: 20, perMs: 7 }), 16, 1e-9)
    assert.closeTo(tokens({ burst: 5, perMs: 0.01 }), 1, 1e-9)
    assert.closeTo(tokens({ burst: 2, perMs: 1 }), 0, 1e-9)
    assert.closeTo(TokenBucket.tokensAt(TokenBucket.convert(fresh, from, from, 0), from, 0), 10, 1e-9)
  })
})
