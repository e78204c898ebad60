import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as RateLimit from "../../src/traffic/RateLimit.ts"
import * as TokenBucket from "../../src/domain/TokenBucket.ts"
import { between } from "../support/arbitraries.ts"
import { client, clientNumber } from "../support/fixtures.ts"

const rate: TokenBucket.Rate = { burst: 10, perMs: 0.1 }

const key = (address: string) => client(address).key

/** How many of so many connections at once get in. */
const admitted = (limit: RateLimit.RateLimit, address: string, now: number, count: number): number => {
  let got = 0
  for (let index = 0; index < count; index++) if (limit.take(key(address), now)) got++
  return got
}

const steps = Arbitrary.array(Arbitrary.all([Arbitrary.schema(between(0, 200)), Arbitrary.schema(between(0, 40))]), {
  minLength: 1,
  maxLength: 300
})

describe("H4: the limit of new connections", () => {
  it("is the burst at first, then the rate, for each client by itself", () => {
    const limit = RateLimit.make(rate, { seed: 1 })
    assert.strictEqual(admitted(limit, "203.0.113.7", 1_000, 50), 10)
    assert.strictEqual(admitted(limit, "203.0.113.8", 1_000, 50), 10)
    assert.strictEqual(admitted(limit, "203.0.113.7", 1_030, 50), 3)
    assert.strictEqual(admitted(limit, "203.0.113.7", 9_999, 50), 10)
  })

  it("A1: takes an IPv6 /64 for one client, and IPv4 for another, mapped or not", () => {
    const limit = RateLimit.make(rate, { seed: 1 })
    assert.strictEqual(admitted(limit, "2001:db8:1:2::1", 0, 6), 6)
    assert.strictEqual(admitted(limit, "2001:db8:1:2:ffff::2", 0, 6), 4)
    assert.strictEqual(admitted(limit, "2001:db8:1:3::1", 0, 20), 10)
    assert.strictEqual(admitted(limit, "203.0.113.7", 0, 6), 6)
    assert.strictEqual(admitted(limit, "::ffff:203.0.113.7", 0, 6), 4)
    // The same last word as that IPv4 address has.
    assert.strictEqual(admitted(limit, "0:0:cb00:7107::1", 0, 20), 10)
  })

  it.prop(
    "is that of a bucket for each client, as long as there is a place for each",
    [steps, between(0, 0xffffffff)],
    ([list, seed]) => {
      const limit = RateLimit.make(rate, { seed })
      const buckets = new Map<number, TokenBucket.FullAt>()
      let now = 0
      for (const [wait, who] of list) {
        now += wait / 10
        const fullAt = TokenBucket.take(buckets.get(who) ?? -Infinity, rate, now)
        if (fullAt !== undefined) buckets.set(who, fullAt)
        assert.strictEqual(limit.has(clientNumber(who).key, now), fullAt !== undefined)
        assert.strictEqual(limit.take(clientNumber(who).key, now), fullAt !== undefined)
      }
      assert.strictEqual(limit.forgotten(), 0)
    }
  )

  it("changes live, and what was taken stays taken", () => {
    const limit = RateLimit.make(rate, { seed: 1 })
    assert.strictEqual(admitted(limit, "203.0.113.7", 1_000, 10), 10)
    assert.strictEqual(admitted(limit, "203.0.113.8", 1_000, 4), 4)
    limit.setRate({ burst: 20, perMs: 1 }, 1_000)
    assert.strictEqual(admitted(limit, "203.0.113.7", 1_000, 50), 10)
    assert.strictEqual(admitted(limit, "203.0.113.8", 1_000, 50), 16)
    assert.strictEqual(admitted(limit, "203.0.113.9", 1_000, 50), 20)
    assert.strictEqual(admitted(limit, "203.0.113.7", 1_005, 50), 5)
  })
})

describe("the memory of the limit", () => {
  const slow: TokenBucket.Rate = { burst: 10, perMs: 0.0001 }

  it("does not grow with its clients, and nobody is refused for want of a place", () => {
    const limit = RateLimit.make(slow, { seed: 7 })
    const before = limit.bytes
    let refused = 0
    for (let index = 0; index < 400_000; index++) if (!limit.take(clientNumber(index).key, index / 100)) refused++
    assert.strictEqual(refused, 0)
    assert.strictEqual(limit.bytes, before)
    assert.isAtMost(limit.bytes, 3_000_000)
    assert.isAbove(limit.forgotten(), 200_000)
  })

  it("keeps who floods while a million addresses with a connection each pass by", () => {
    const limit = RateLimit.make(slow, { seed: 7 })
    const flooders = Array.from({ length: 1_000 }, (_, index) => `198.51.${index >>> 8}.${index & 255}`)
    for (const address of flooders) assert.strictEqual(admitted(limit, address, 0, 20), 10)
    for (let index = 0; index < 1_000_000; index++) limit.take(clientNumber(index).key, 1)
    for (const address of flooders) assert.strictEqual(admitted(limit, address, 2, 1), 0)
  })

  it("forgets full buckets only, as long as there are any", () => {
    const limit = RateLimit.make(rate, { seed: 7, clients: 64 })
    for (let index = 0; index < 10_000; index++) assert.isTrue(limit.take(clientNumber(index).key, index * 10))
    assert.strictEqual(limit.forgotten(), 0)
  })
})
