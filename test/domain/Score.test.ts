import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { Region } from "../../src/domain/Region.ts"
import { loadOf, scoreOf, type Tier, tierOf } from "../../src/domain/Score.ts"
import { backends, between, oneOf } from "../support/arbitraries.ts"
import { backend, geoOf } from "../support/fixtures.ts"

const tiers: ReadonlyArray<Tier> = [0, 1, 2, 3]
const places = Arbitrary.map(oneOf([undefined, "BR", "US", "DE", "FR", "JP"]), geoOf)

describe("R2: tiers", () => {
  it.each([
    ["same country", backend({ id: "b", country: "DE", region: "eu" }), "DE", "sa", 0],
    [
      "same country, even when its row says another region",
      backend({ id: "b", country: "DE", region: "us" }),
      "DE",
      "us",
      0
    ],
    ["client's region", backend({ id: "b", country: "FR", region: "eu" }), "DE", "sa", 1],
    ["client's region, backend without country", backend({ id: "b", region: "eu" }), "DE", "sa", 1],
    ["client's region before the POP's", backend({ id: "b", region: "eu" }), "DE", "eu", 1],
    ["POP's region", backend({ id: "b", country: "BR", region: "sa" }), "DE", "sa", 2],
    ["elsewhere", backend({ id: "b", country: "JP", region: "ap" }), "DE", "sa", 3],
    ["unknown client, POP's region", backend({ id: "b", region: "sa" }), undefined, "sa", 2],
    ["unknown client, elsewhere", backend({ id: "b", country: "DE", region: "eu" }), undefined, "sa", 3]
  ] as const)("%s", (_, target, code, pop, tier) => {
    assert.strictEqual(tierOf(target, geoOf(code), pop), tier)
  })

  it.prop("unknown geo knows only tiers 2 and 3", [backends, Region], ([target, pop]) => {
    assert.strictEqual(tierOf(target, geoOf(), pop), target.region === pop ? 2 : 3)
  })

  it.prop("the nearest description that fits", [backends, places, Region], ([target, geo, pop]) => {
    const fits = [
      geo.country !== undefined && target.country === geo.country,
      geo.region !== undefined && target.region === geo.region,
      target.region === pop,
      true
    ]
    assert.strictEqual(tierOf(target, geo, pop), fits.indexOf(true))
  })
})

describe("R1: load and score", () => {
  it.each([
    [0, 100, 1, 0],
    [50, 100, 1, 0.5],
    [50, 100, 2, 0.25],
    [150, 100, 1, 1.5],
    [3, 1, 1_000, 0.003]
  ])("%i connections, soft limit %i, weight %i: %f", (connections, soft, weight, load) => {
    assert.strictEqual(loadOf(connections, soft, weight), load)
    for (const tier of tiers) assert.strictEqual(scoreOf(tier, load), tier * 100 + load)
  })

  it("R4: soft limit 0 counts as 1", () => {
    assert.strictEqual(loadOf(5, 0, 1), 5)
  })

  it("R4: weight 0 never wins", () => {
    assert.strictEqual(loadOf(0, 100, 0), Infinity)
  })

  it.prop(
    "grows with the connections, falls with the weight",
    [between(0, 1_000), between(1, 1_000), between(1, 1_000)],
    ([connections, soft, weight]) => {
      assert.isAtLeast(loadOf(connections + 1, soft, weight), loadOf(connections, soft, weight))
      assert.isAtMost(loadOf(connections, soft, weight + 1), loadOf(connections, soft, weight))
    }
  )
})

describe("R6: tiers never mix", () => {
  const load = [between(0, 100_000_000), between(0, 10_000_000), between(1, 1_000)] as const

  it.prop("whatever the load", [...load, ...load, between(0, 2)], ([c1, s1, w1, c2, s2, w2, tier]) => {
    const near = scoreOf(tier as Tier, loadOf(c1, s1, w1))
    const far = scoreOf((tier + 1) as Tier, loadOf(c2, s2, w2))
    assert.isBelow(near, far)
  })

  it("even a thousandfold overload with nothing in the next tier", () => {
    for (const tier of [0, 1, 2] as const) {
      assert.isBelow(scoreOf(tier, loadOf(10_000_000, 1, 1)), scoreOf((tier + 1) as Tier, 0))
    }
  })
})
