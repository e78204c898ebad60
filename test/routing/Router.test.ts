import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hashText } from "../../src/domain/Hash.ts"
import { Router } from "../../src/routing/Router.ts"
import { connectionsOf } from "../../src/routing/Upstream.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing } from "../support/routing.ts"

const services = Effect.all({ router: Router, upstreams: Upstreams })

const countBy = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

describe("R2: the nearest tier", () => {
  const world = [
    backend({ id: "country", region: "eu", country: "DE" }),
    backend({ id: "region", region: "eu", country: "FR" }),
    backend({ id: "pop", region: "sa", country: "BR" }),
    backend({ id: "far", region: "ap", country: "JP" })
  ]

  it.effect("wins even when it carries more, and the next one follows when it goes", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      world.forEach(upstreams.put)
      for (const [tier, id] of ["country", "region", "pop", "far"].entries()) {
        for (let client = 0; client < 50; client++) {
          const route = routed(router.route(request(1_000 * tier + client, "DE")))
          assert.deepStrictEqual([chosen(route), route.tier], [id, tier])
        }
        upstreams.drop(id)
      }
      assert.strictEqual(router.route(request(1, "DE")), "no-backend")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("a client from nowhere gets the POP's region or any other, never a region by default", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      world.forEach(upstreams.put)
      assert.deepInclude(routed(router.route(request(1))), { tier: 2 })
      upstreams.drop("pop")
      const others = Array.from({ length: 300 }, (_, client) => routed(router.route(request(client + 2))))
      assert.deepStrictEqual([...new Set(others.map(({ tier }) => tier))], [3])
      assert.hasAllKeys(countBy(others.map(chosen)), ["country", "region", "far"])
    }).pipe(Effect.provide(routing()))
  )
})

describe("R4: weight 0", () => {
  it.effect("takes no new clients and keeps its bound ones", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "old" }))
      assert.strictEqual(chosen(router.route(request(1))), "old")
      upstreams.put(backend({ id: "old", weight: 0 }))
      assert.strictEqual(router.route(request(2)), "no-backend")
      upstreams.put(backend({ id: "new" }))
      for (let client = 2; client < 30; client++) assert.strictEqual(chosen(router.route(request(client))), "new")
      assert.deepInclude(routed(router.route(request(1))), { affinity: "hit" })
      assert.strictEqual(chosen(router.route(request(1))), "old")
    }).pipe(Effect.provide(routing()))
  )
})

describe("R5: the hard limit", () => {
  it.effect("holds in a burst: 500 at once on three backends of 100 are 300", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      for (const id of ["a", "b", "c"]) upstreams.put(backend({ id, hardLimit: 100 }))
      const routes = Array.from({ length: 500 }, (_, client) => router.route(request(client)))
      assert.deepStrictEqual(countBy(routes.map(chosen)), { a: 100, b: 100, c: 100, "no-capacity": 200 })
      for (const route of routes) if (typeof route !== "string") router.end(route)
      for (const upstream of upstreams.all()) assert.strictEqual(connectionsOf(upstream), 0)
      assert.notStrictEqual(chosen(router.route(request(999))), "no-capacity")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("holds for bound clients, who are rebound", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "near", region: "sa", hardLimit: 2 }))
      upstreams.put(backend({ id: "far", region: "ap" }))
      const routes = [1, 1, 1].map((client) => routed(router.route(request(client))))
      assert.deepStrictEqual(routes.map(chosen), ["near", "near", "far"])
      assert.deepStrictEqual(
        routes.map(({ affinity }) => affinity),
        ["new", "hit", "rebound"]
      )
    }).pipe(Effect.provide(routing()))
  )

  it.effect("a place given back twice is one place", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "a", hardLimit: 2 }))
      const [first] = [routed(router.route(request(1))), routed(router.route(request(2)))]
      router.fail(first)
      router.end(first)
      first.lease.commit()
      assert.strictEqual(chosen(router.route(request(3))), "a")
      assert.strictEqual(router.route(request(4)), "no-capacity")
    }).pipe(Effect.provide(routing()))
  )
})

describe("R6: where a tier is full", () => {
  const fill = Effect.gen(function* () {
    const { router, upstreams } = yield* services
    upstreams.put(backend({ id: "near", region: "sa", softLimit: 3, hardLimit: 5 }))
    upstreams.put(backend({ id: "far", region: "ap", softLimit: 2, hardLimit: 4 }))
    return Array.from({ length: 10 }, (_, client) => chosen(router.route(request(client))))
  })

  it.effect("by default it yields at the hard limit", () =>
    Effect.gen(function* () {
      const expected = ["near", "near", "near", "near", "near", "far", "far", "far", "far", "no-capacity"]
      assert.deepStrictEqual(yield* fill, expected)
    }).pipe(Effect.provide(routing()))
  )

  it.effect("with spill_at soft it yields at the soft limit, and comes back when all tiers are there", () =>
    Effect.gen(function* () {
      const expected = ["near", "near", "near", "far", "far", "near", "near", "far", "far", "no-capacity"]
      assert.deepStrictEqual(yield* fill, expected)
    }).pipe(Effect.provide(routing({ spillAt: "soft" })))
  )

  it.effect("a thousandfold overload does not send clients away while there is room", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "near", region: "sa", softLimit: 1 }))
      upstreams.put(backend({ id: "far", region: "ap" }))
      const routes = Array.from({ length: 1_000 }, (_, client) => chosen(router.route(request(client))))
      assert.deepStrictEqual(countBy(routes), { near: 1_000 })
    }).pipe(Effect.provide(routing()))
  )
})

describe("R7: equal scores", () => {
  const choices = (ids: ReadonlyArray<string>, clients: number) =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      for (const id of ids) upstreams.put(backend({ id }))
      return Array.from({ length: clients }, (_, client) => {
        const route = routed(router.route(request(client)))
        router.fail(route)
        return chosen(route)
      })
    }).pipe(Effect.provide(routing()))

  it.effect("two POPs choose alike, in whatever order they heard of the backends", () =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 200 }, (_, index) => `backend-${index}`)
      const [one, other] = [yield* choices(ids, 2_000), yield* choices(ids.toReversed(), 2_000)]
      assert.deepStrictEqual(one, other)
      assert.isAbove(Object.keys(countBy(one)).length, 190)
    })
  )

  it.effect("also between two ids whose hashes are the same", () =>
    Effect.gen(function* () {
      const twins = ["backend-a2be6dc8", "backend-a772d55d"] as const
      assert.strictEqual(hashText(twins[0]), hashText(twins[1]))
      assert.deepStrictEqual(yield* choices(twins, 5), yield* choices(twins.toReversed(), 5))
    })
  )
})

describe("R8: apps", () => {
  it.effect("a listener of an app sees that app's backends only; one of none sees all", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "web", app: "web", region: "ap" }))
      upstreams.put(backend({ id: "pg", app: "pg", region: "sa" }))
      const at = (app: string | undefined, client: number) => chosen(router.route(request(client, undefined, { app })))
      assert.deepStrictEqual([at("web", 1), at("pg", 1), at(undefined, 1)], ["web", "pg", "pg"])
      assert.strictEqual(at("mail", 1), "no-backend")
      upstreams.put(backend({ id: "pg", app: "web", region: "sa" }))
      assert.strictEqual(at("pg", 2), "no-backend")
      assert.strictEqual(at("web", 2), "pg")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("A2: a binding does not follow its backend into another app", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "one", app: "web", region: "sa" }))
      upstreams.put(backend({ id: "two", app: "web", region: "ap" }))
      assert.strictEqual(chosen(router.route(request(1, undefined, { app: "web" }))), "one")
      upstreams.put(backend({ id: "one", app: "pg", region: "sa" }))
      const route = routed(router.route(request(1, undefined, { app: "web" })))
      assert.deepStrictEqual([chosen(route), route.affinity], ["two", "rebound"])
    }).pipe(Effect.provide(routing()))
  )
})

describe("C1: candidates that have failed this connection", () => {
  it.effect("are left out, and only for it", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      for (const id of ["a", "b", "c"]) upstreams.put(backend({ id }))
      const tried = []
      for (let attempt = 0; attempt < 3; attempt++) {
        const route = routed(router.route(request(1, undefined, { tried })))
        assert.notInclude(tried, route.lease.upstream)
        tried.push(route.lease.upstream)
        router.fail(route)
      }
      assert.strictEqual(router.route(request(1, undefined, { tried })), "no-capacity")
      const others = Array.from({ length: 100 }, (_, client) => chosen(router.route(request(client + 2))))
      assert.hasAllKeys(countBy(others), ["a", "b", "c"])
    }).pipe(Effect.provide(routing()))
  )
})

describe("a backend whose row goes and comes back", () => {
  it.effect("R1, R5: finds the load of its running connections", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      const row = backend({ id: "a", hardLimit: 2 })
      upstreams.put(row)
      const first = routed(router.route(request(1)))
      first.lease.commit()
      upstreams.drop("a")
      assert.isUndefined(upstreams.get("a"))
      assert.strictEqual(router.route(request(2)), "no-backend")
      upstreams.put(row)
      assert.strictEqual(chosen(router.route(request(2))), "a")
      assert.strictEqual(router.route(request(3)), "no-capacity")
      router.end(first)
      assert.strictEqual(chosen(router.route(request(3))), "a")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("is forgotten once its last connection has ended", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(backend({ id: "a" }))
      const route = routed(router.route(request(1)))
      upstreams.drop("a")
      assert.strictEqual(Array.from(upstreams.all()).length, 1)
      router.end(route)
      assert.deepStrictEqual(Array.from(upstreams.all()), [])
      assert.isUndefined(upstreams.bySeq(route.lease.upstream.seq))
    }).pipe(Effect.provide(routing()))
  )
})
