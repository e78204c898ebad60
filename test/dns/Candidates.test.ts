import { assert, describe, it } from "@effect/vitest"
import { mix, unit } from "../../src/domain/Hash.ts"
import type { ClientGeo } from "../../src/domain/Score.ts"
import * as Candidates from "../../src/dns/Candidates.ts"
import * as MemberIndex from "../../src/dns/MemberIndex.ts"
import * as Upstreams from "../../src/routing/Upstreams.ts"
import { backend, geoOf } from "../support/fixtures.ts"

const rigged = (spillAt: "hard" | "soft" = "hard") => {
  const upstreams = Upstreams.make({ spillAt })
  let drawn = 0
  const candidates = Candidates.make({
    indexes: MemberIndex.make(),
    popRegion: "sa",
    spillAt: () => spillAt,
    random: () => unit(mix(drawn++))
  })
  const find = (geo: ClientGeo, more: Partial<Candidates.Wish> = {}): ReadonlyArray<string> => {
    const pool = upstreams.poolNamed("web")
    if (pool === undefined) return []
    const wish = { family: 4, geo, region: undefined, count: 8, ...more } as const
    return (candidates(pool, wish) ?? []).map((upstream) => upstream.backend.id)
  }
  const load = (id: string, live: number): void => {
    const upstream = upstreams.get(id)
    if (upstream !== undefined) upstream.live = live
  }
  return { upstreams, find, load }
}

const shares = (draw: () => string | undefined, times: number): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const id = draw() ?? "none"
    counts[id] = (counts[id] ?? 0) + 1
  }
  return counts
}

/** Of so many the rules are the same: few are looked at one by one, of many some are drawn. */
describe.each([
  ["few", 1],
  ["many", 200]
])("candidates of %s", (_, copies) => {
  const world = (rig: ReturnType<typeof rigged>): void => {
    for (let copy = 0; copy < copies; copy++) {
      const put = (kind: string, region: "eu" | "sa" | "ap", country: string, net: number) =>
        rig.upstreams.put(
          backend({
            id: `${kind}-${copy}`,
            app: "web",
            region,
            country,
            address: `10.${net}.${copy >> 8}.${copy & 255}`
          })
        )
      put("country", "eu", "DE", 1)
      put("region", "eu", "FR", 2)
      put("pop", "sa", "BR", 3)
      put("far", "ap", "JP", 4)
    }
  }
  const kinds = (ids: ReadonlyArray<string>): ReadonlyArray<string> => [
    ...new Set(ids.map((id) => id.split("-")[0] ?? ""))
  ]

  it("come nearest first, and further ones only to fill up", () => {
    const rig = rigged()
    world(rig)
    const all = ["country", "region", "pop", "far"]
    for (let asked = 0; asked < 50; asked++) {
      assert.deepStrictEqual(kinds(rig.find(geoOf("DE"))), copies === 1 ? all : ["country"])
      assert.deepStrictEqual(kinds(rig.find(geoOf())).slice(0, 1), ["pop"])
    }
  })

  it("full ones are out, those at the soft limit come after the others of their tier", () => {
    const rig = rigged()
    world(rig)
    for (let copy = 0; copy < copies; copy++) rig.load(`country-${copy}`, 100)
    assert.deepStrictEqual(kinds(rig.find(geoOf("DE"))).slice(0, 1), ["country"])
    for (let copy = 0; copy < copies; copy++) {
      rig.upstreams.put(
        backend({
          id: `country-${copy}`,
          app: "web",
          country: "DE",
          hardLimit: 100,
          address: `10.1.${copy >> 8}.${copy & 255}`
        })
      )
    }
    assert.notInclude(kinds(rig.find(geoOf("DE"))), "country")
    assert.deepStrictEqual(kinds(rig.find(geoOf("DE"))).slice(0, 1), ["region"])
  })

  it("R6: with spilling at the soft limit those at it come after all others", () => {
    const rig = rigged("soft")
    world(rig)
    for (let copy = 0; copy < copies; copy++) rig.load(`country-${copy}`, 100)
    const found = kinds(rig.find(geoOf("DE")))
    assert.strictEqual(found[0], "region")
    if (copies === 1) assert.deepStrictEqual(found, ["region", "pop", "far", "country"])
  })

  it("those that are down are out, unless all are", () => {
    const rig = rigged()
    world(rig)
    const down = (kind: string) => {
      for (let copy = 0; copy < copies; copy++) {
        const upstream = rig.upstreams.get(`${kind}-${copy}`)
        if (upstream !== undefined) rig.upstreams.observe(upstream, { up: false })
      }
    }
    down("country")
    assert.notInclude(kinds(rig.find(geoOf("DE"))), "country")
    for (const kind of ["region", "pop", "far"]) down(kind)
    assert.strictEqual(kinds(rig.find(geoOf("DE")))[0], "country")
  })

  it("only those of the wanted region and family", () => {
    const rig = rigged()
    world(rig)
    for (let copy = 0; copy < copies; copy++) {
      rig.upstreams.put(
        backend({ id: `six-${copy}`, app: "web", region: "sa", address: `fd00::${(copy + 1).toString(16)}` })
      )
    }
    assert.deepStrictEqual(kinds(rig.find(geoOf("DE"), { region: "sa" })), ["pop"])
    assert.deepStrictEqual(kinds(rig.find(geoOf("DE"), { family: 16 })), ["six"])
    assert.sameMembers(
      [...kinds(rig.find(geoOf(), { family: 0, region: "sa", count: 40 }))],
      copies === 1 ? ["pop", "six"] : ["pop", "six"]
    )
    assert.deepStrictEqual(rig.find(geoOf("DE"), { region: "us" }), [])
  })

  it("follow the table at once", () => {
    const rig = rigged()
    world(rig)
    rig.find(geoOf())
    rig.upstreams.put(backend({ id: "new", app: "web", region: "eu", country: "PT", address: "10.9.9.9" }))
    assert.strictEqual(rig.find(geoOf("PT"))[0], "new")
    rig.upstreams.put(backend({ id: "new", app: "web", region: "eu", country: "PT", address: "10.9.9.9", weight: 0 }))
    assert.notInclude(rig.find(geoOf("PT")), "new")
    rig.upstreams.drop("new")
    assert.notInclude(rig.find(geoOf("PT")), "new")
  })
})

describe.each([
  ["few", 0],
  ["many", 300]
])("the first of %s", (_, others) => {
  it("is drawn by weight, another one each time", () => {
    const rig = rigged()
    // In another region, so that they make the list long and never win.
    for (let i = 0; i < others; i++)
      rig.upstreams.put(backend({ id: `o-${i}`, app: "web", region: "ap", address: `10.5.${i >> 8}.${i & 255}` }))
    for (const [id, weight] of [
      ["one", 1],
      ["three", 3],
      ["six", 6]
    ] as const) {
      rig.upstreams.put(backend({ id, app: "web", region: "sa", weight, address: `10.0.0.${weight}` }))
    }
    const counts = shares(() => rig.find(geoOf())[0], 5_000)
    assert.closeTo(counts["one"] ?? 0, 500, 120)
    assert.closeTo(counts["three"] ?? 0, 1_500, 180)
    assert.closeTo(counts["six"] ?? 0, 3_000, 200)
  })
})

describe("of very many", () => {
  it("the draws follow the weights, and slow starts get their share", () => {
    const rig = rigged()
    for (let i = 0; i < 1_000; i++) {
      rig.upstreams.put(
        backend({
          id: `b-${i}`,
          app: "web",
          region: "sa",
          weight: i === 7 ? 1_000 : 1,
          address: `10.5.${i >> 8}.${i & 255}`
        })
      )
    }
    const heavy = (): number => shares(() => rig.find(geoOf())[0], 2_000)["b-7"] ?? 0
    assert.closeTo(heavy(), 1_000, 120)
    const upstream = rig.upstreams.get("b-7")
    if (upstream === undefined) return assert.fail()
    rig.upstreams.observe(upstream, { share: 0.1 })
    assert.closeTo(heavy(), 2_000 * (100 / 1_099), 80)
  })

  it("the last one that is up is found", () => {
    const rig = rigged()
    for (let i = 0; i < 3_000; i++) {
      rig.upstreams.put(backend({ id: `b-${i}`, app: "web", region: "sa", address: `10.5.${i >> 8}.${i & 255}` }))
    }
    for (const upstream of rig.upstreams.all()) {
      if (upstream.backend.id !== "b-1234") rig.upstreams.observe(upstream, { up: false })
    }
    for (let asked = 0; asked < 50; asked++) {
      assert.deepStrictEqual(rig.find(geoOf()), ["b-1234"])
      assert.deepStrictEqual(rig.find(geoOf(), { region: "sa" }), ["b-1234"])
    }
  })

  it("few that are up are found among many that are not", () => {
    const rig = rigged()
    for (let i = 0; i < 2_000; i++) {
      rig.upstreams.put(backend({ id: `b-${i}`, app: "web", region: "sa", address: `10.5.${i >> 8}.${i & 255}` }))
    }
    for (const upstream of rig.upstreams.all())
      if (upstream.seq % 40 !== 0) rig.upstreams.observe(upstream, { up: false })
    for (let asked = 0; asked < 100; asked++) assert.isNotEmpty(rig.find(geoOf()))
  })
})
