import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { Backend } from "../../src/domain/Backend.ts"
import type { Client } from "../../src/domain/Client.ts"
import { Bindings } from "../../src/routing/Bindings.ts"
import { Explain, MAX_SHOWN, SHOWN, type ExplainOptions } from "../../src/routing/Explain.ts"
import type { Explanation } from "../../src/routing/Explanation.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { type Route, Router } from "../../src/routing/Router.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { backend, clientNumber, geoOf } from "../support/fixtures.ts"
import { chosen, request, routed, routing, type RoutingOptions } from "../support/routing.ts"

/** Where client 0, 1, 2 ... is. */
const homes = [undefined, "BR", "BR", "DE", "US", "JP"]

const places = GeoResolver.layerFixed(
  new Map(homes.map((home, client) => [clientNumber(client).address, geoOf(home)] as const))
)

const layer = (options: RoutingOptions = {}, more: Partial<ExplainOptions> = {}) =>
  Explain.layer({ region: options.region ?? "sa", spillAt: options.spillAt ?? "hard", ...more }).pipe(
    Layer.provideMerge(Layer.merge(routing(options), places))
  )

const services = Effect.all({ bindings: Bindings, explain: Explain, router: Router, upstreams: Upstreams })

const ipOf = (client: number): string => clientNumber(client).address

const ids = (list: { readonly shown: ReadonlyArray<{ readonly id: string }> }) => list.shown.map(({ id }) => id)

/** Everything that a choice depends on and could have moved, as text. */
const stateOf = (
  { bindings, upstreams }: { bindings: Bindings["Service"]; upstreams: Upstreams["Service"] },
  clients: ReadonlyArray<Client>
): string => {
  const trees = [undefined, "a", "b"].map((app) => {
    const pool = upstreams.pool(app)
    const all = pool === undefined ? [] : [pool.all, ...pool.byRegion.values(), ...pool.byCountry.values()]
    return all.map((tree) => [tree.size(), tree.lowest(), ...clients.map(({ key }) => tree.choose(key.lo)?.seq)])
  })
  const loads = Array.from(upstreams.all(), ({ backend, live, listed, observed, reserved }) => [
    backend,
    live,
    listed,
    observed,
    reserved
  ])
  const bound = clients.map(({ key }) => [0, 1, 2].map((app) => bindings.rehearse(() => bindings.find(key, app)).found))
  return JSON.stringify([trees, loads, bound, bindings.size(), bindings.evictions()])
}

describe("D4: the answer", () => {
  it.effect("tells the figures of R1 for each candidate, in the order in which they would be tried", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      upstreams.put(backend({ id: "far", region: "ap", softLimit: 10 }))
      upstreams.put(backend({ id: "home", region: "sa", country: "BR", softLimit: 4, weight: 2, hardLimit: 8 }))
      upstreams.put(backend({ id: "near", region: "sa", country: "AR" }))
      router.route(request(1, "BR"))
      router.route(request(1, "BR"))
      const answer = yield* explain.explain(ipOf(2), undefined)
      assert.deepStrictEqual(answer.client, {
        address: ipOf(2),
        key: ipOf(2),
        country: "BR",
        region: "sa",
        refused: null
      })
      assert.deepStrictEqual(answer.choice, { backend: "home", tier: 0, affinity: "new" })
      assert.isNull(answer.binding)
      assert.deepStrictEqual(answer.candidates.shown[0], {
        rank: 1,
        id: "home",
        app: "",
        region: "sa",
        country: "BR",
        tier: 0,
        connections: 2,
        soft_limit: 4,
        hard_limit: 8,
        weight: 2,
        load: 0.25,
        score: 0.25,
        spilled: false,
        bound: false
      })
      assert.deepStrictEqual(
        answer.candidates.shown.map(({ hard_limit, id, rank, score, tier }) => [rank, id, tier, score, hard_limit]),
        [
          [1, "home", 0, 0.25, 8],
          [2, "near", 1, 100, 0],
          [3, "far", 3, 300, 0]
        ]
      )
      assert.deepStrictEqual([answer.candidates.total, answer.out], [3, { total: 0, shown: [] }])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("says that a client would not be let in, and still where it would go otherwise", () =>
    Effect.gen(function* () {
      const { explain, upstreams } = yield* services
      upstreams.put(backend({ id: "home", country: "BR" }))
      const [home, abroad] = yield* Effect.forEach([1, 3], (client) => explain.explain(ipOf(client), undefined))
      assert.deepStrictEqual([home?.client.refused, abroad?.client.refused], ["denied-country", null])
      assert.deepInclude(home?.choice, { backend: "home", tier: 0 })
    }).pipe(
      Effect.provide(layer({}, { refusalOf: (_, { country }) => (country === "BR" ? "denied-country" : undefined) }))
    )
  )

  it.effect("tells what is seen of backends and keeps them out, and is no trial itself", () =>
    Effect.gen(function* () {
      const all = yield* services
      const { explain, upstreams } = all
      const seen = {
        fine: {},
        down: { up: false, checkError: "refused: ECONNREFUSED" },
        open: { circuit: { _tag: "Open", since: 0 }, admits: false },
        busy: { circuit: { _tag: "HalfOpen", trial: 0, trying: 1, successes: 0 }, admits: false },
        tried: { circuit: { _tag: "HalfOpen", trial: 0, trying: 0, successes: 0 }, admits: true },
        slow: { share: 0.5 }
      } as const
      for (const [id, what] of Object.entries(seen)) {
        upstreams.put(backend({ id, region: "sa", weight: 2 }))
        const upstream = upstreams.get(id)
        if (upstream !== undefined) upstreams.observe(upstream, what)
      }
      const before = stateOf(all, [clientNumber(1)])
      const answer = yield* explain.explain(ipOf(1), undefined)
      assert.strictEqual(stateOf(all, [clientNumber(1)]), before)
      assert.isFalse(answer.panic)
      assert.sameMembers([...ids(answer.candidates)], ["fine", "tried", "slow"])
      assert.strictEqual(answer.candidates.shown.find(({ id }) => id === "slow")?.weight, 1)
      assert.deepStrictEqual(Object.fromEntries(answer.out.shown.map(({ id, reason }) => [id, reason])), {
        down: "down",
        open: "circuit-open",
        busy: "circuit-half-open"
      })
      for (const id of ["fine", "slow"]) upstreams.drop(id)
      const panic = yield* explain.explain(ipOf(1), undefined)
      assert.deepStrictEqual([panic.panic, panic.candidates.total, panic.out.total], [true, 4, 0])
    }).pipe(Effect.provide(layer({ circuit: { failureThreshold: 1, successThreshold: 1, timeoutMs: 1_000 } })))
  )

  it.effect("says why each other backend is out, those of the app first", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      upstreams.put(backend({ id: "gone", app: "a" }))
      router.route(request(1, undefined, { app: "a" }))
      upstreams.drop("gone")
      upstreams.put(backend({ id: "other", app: "b" }))
      upstreams.put(backend({ id: "sick", app: "a", healthy: false }))
      upstreams.put(backend({ id: "leaving", app: "a", draining: true, healthy: false }))
      upstreams.put(backend({ id: "silent", app: "a", expired: true }))
      upstreams.put(backend({ id: "resting", app: "a", weight: 0 }))
      upstreams.put(backend({ id: "full", app: "a", hardLimit: 1, country: "DE" }))
      router.route(request(3, "DE", { app: "a" }))
      upstreams.put(backend({ id: "in", app: "a" }))
      const answer = yield* explain.explain(ipOf(3), "a")
      assert.deepStrictEqual(ids(answer.candidates), ["in"])
      assert.deepStrictEqual(
        answer.out.shown.map(({ id, reason }) => [id, reason]),
        [
          ["gone", "removed"],
          ["sick", "unhealthy"],
          ["leaving", "draining"],
          ["silent", "expired"],
          ["resting", "standby"],
          ["full", "full"],
          ["other", "other-app"]
        ]
      )
      assert.deepStrictEqual(answer.binding, {
        backend: "full",
        open_connections: 1,
        seconds_left: null,
        unused: "full"
      })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("says that nothing is eligible, or all of it full, or that no backend has the app", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      const choiceOf = (app?: string) => Effect.map(explain.explain("192.0.2.1", app), ({ choice }) => choice)
      assert.deepStrictEqual(yield* choiceOf(), { backend: null, reason: "no-backend" })
      upstreams.put(backend({ id: "b", app: "a", hardLimit: 1 }))
      router.route(request(1, undefined, { app: "a" }))
      assert.deepStrictEqual(yield* choiceOf("a"), { backend: null, reason: "no-capacity" })
      assert.deepStrictEqual(yield* choiceOf("nobody's"), { backend: null, reason: "no-backend" })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("knows a backend at its soft limit that waits for the others (R6)", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      upstreams.put(backend({ id: "home", region: "sa", country: "BR", softLimit: 1 }))
      upstreams.put(backend({ id: "far", region: "ap" }))
      router.route(request(1, "BR"))
      const answer = yield* explain.explain(ipOf(2), undefined)
      assert.deepStrictEqual(
        answer.candidates.shown.map(({ id, score, spilled }) => [id, score, spilled]),
        [
          ["far", 300, false],
          ["home", 1, true]
        ]
      )
    }).pipe(Effect.provide(layer({ spillAt: "soft" })))
  )

  it.effect("is bounded, and counts what it does not show", () =>
    Effect.gen(function* () {
      const { explain, upstreams } = yield* services
      for (let index = 0; index < 150; index++) {
        upstreams.put(backend({ id: `in${index}` }))
        upstreams.put(backend({ id: `out${index}`, healthy: false }))
      }
      const lengths = ({ candidates, out }: Explanation) => [
        [candidates.total, candidates.shown.length],
        [out.total, out.shown.length]
      ]
      const usual = yield* explain.explain("192.0.2.1", undefined)
      assert.deepStrictEqual(lengths(usual), [
        [150, SHOWN],
        [150, SHOWN]
      ])
      assert.strictEqual(new Set(ids(usual.candidates)).size, SHOWN)
      for (const [asked, given] of [
        [0, 1],
        [3, 3],
        [1e9, MAX_SHOWN]
      ] as const) {
        assert.deepStrictEqual(lengths(yield* explain.explain("192.0.2.1", undefined, asked)), [
          [150, given],
          [150, given]
        ])
      }
    }).pipe(Effect.provide(layer()))
  )

  it.effect("takes an address in any writing, and nothing else", () =>
    Effect.gen(function* () {
      const { explain } = yield* services
      const { client } = yield* explain.explain("2001:DB8:1:2::7", undefined)
      assert.deepStrictEqual(client, {
        address: "2001:db8:1:2::7",
        key: "2001:db8:1:2::/64",
        country: null,
        region: null,
        refused: null
      })
      assert.strictEqual((yield* explain.explain(`::ffff:${ipOf(1)}`, undefined)).client.country, "BR")
      for (const text of ["", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.4/8", "::1\n", "x".repeat(10_000)]) {
        const error = yield* Effect.flip(explain.explain(text, undefined))
        assert.deepStrictEqual([error._tag, error.reason], ["ExplainError", "address"])
      }
    }).pipe(Effect.provide(layer()))
  )
})

describe("D4, A1, A2, A4: the binding", () => {
  const world = [
    backend({ id: "home", region: "sa", country: "BR" }),
    backend({ id: "far", region: "ap", softLimit: 1_000 })
  ]

  it.effect("of this app, with its age; looking does not make it younger", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      upstreams.put(backend({ id: "b", app: "b" }))
      upstreams.put(backend({ id: "a", app: "a" }))
      for (const app of ["b", "a"]) router.end(routed(router.route(request(1, "BR", { app }))))
      yield* TestClock.adjust(4_000)
      for (let times = 0; times < 3; times++) {
        const { binding } = yield* explain.explain(ipOf(1), "a")
        assert.deepStrictEqual(binding, { backend: "a", open_connections: 0, seconds_left: 6, unused: null })
      }
      assert.isNull((yield* explain.explain(ipOf(1), undefined)).binding)
      yield* TestClock.adjust(6_000)
      assert.isNull((yield* explain.explain(ipOf(1), "a")).binding)
    }).pipe(Effect.provide(layer({ ttlMs: 10_000 })))
  )

  it.effect("is forgotten in its turn, however often it is asked for (A3)", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      world.forEach(upstreams.put)
      const visit = (client: number) => router.end(routed(router.route(request(client, "BR"))))
      visit(1)
      visit(2)
      assert.isNotNull((yield* explain.explain(ipOf(1), undefined)).binding)
      visit(3)
      assert.isNull((yield* explain.explain(ipOf(1), undefined)).binding)
      assert.isNotNull((yield* explain.explain(ipOf(2), undefined)).binding)
    }).pipe(Effect.provide(layer({ bindingMax: 2 })))
  )

  it.effect("leads also where new clients don't go: a worse score, weight 0", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      const [home, far] = world
      if (home === undefined || far === undefined) return assert.fail("no world")
      upstreams.put(far)
      router.route(request(1, "BR"))
      upstreams.put(home)
      upstreams.put({ ...far, weight: 0 })
      const answer = yield* explain.explain(ipOf(1), undefined)
      assert.deepStrictEqual(answer.choice, { backend: "far", tier: 3, affinity: "hit" })
      assert.deepStrictEqual(
        answer.candidates.shown.map(({ bound, id, load, score }) => [id, bound, load, score]),
        [
          ["far", true, null, null],
          ["home", false, 0, 0]
        ]
      )
      assert.deepStrictEqual([answer.candidates.total, answer.out.total], [2, 0])
      const other = yield* explain.explain(ipOf(2), undefined)
      assert.deepStrictEqual([ids(other.candidates), ids(other.out)], [["home"], ["far"]])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("says why it is not used", () =>
    Effect.gen(function* () {
      const { explain, router, upstreams } = yield* services
      const unused = Effect.map(explain.explain(ipOf(1), undefined), ({ binding, choice }) => [
        binding?.backend,
        binding?.unused,
        "affinity" in choice ? choice.affinity : choice.reason
      ])
      world.forEach(upstreams.put)
      const route = routed(router.route(request(1, "BR")))
      assert.deepStrictEqual(yield* unused, ["home", null, "hit"])
      const second = routed(router.route(request(1, "BR")))
      assert.deepStrictEqual(yield* unused, ["home", "binding-limit", "new"])
      router.end(second)
      upstreams.put(backend({ id: "home", region: "sa", country: "BR", draining: true }))
      assert.deepStrictEqual(yield* unused, ["home", "draining", "rebound"])
      upstreams.drop("home")
      assert.deepStrictEqual(yield* unused, ["home", "removed", "rebound"])
      router.end(route)
      assert.deepStrictEqual(yield* unused, [null, "removed", "rebound"])
    }).pipe(Effect.provide(layer({ bindingMaxConnections: 2 })))
  )
})

interface Step {
  readonly kind: "put" | "route" | "end" | "fail" | "wait" | "drop"
  readonly pick: number
  readonly app: string | undefined
  readonly backend: Omit<Backend, "id">
}

const steps: Arbitrary.Arbitrary<ReadonlyArray<Step>> = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf<Step["kind"]>(["put", "route", "route", "route", "end", "end", "fail", "put", "wait", "drop"]),
    pick: Arbitrary.schema(between(0, 1_000)),
    app: oneOf([undefined, "a", "b"]),
    backend: Arbitrary.map(
      Arbitrary.all({
        app: oneOf(["a", "b"]),
        country: oneOf([undefined, "BR", "DE", "US"]),
        region: oneOf<Backend["region"]>(["sa", "eu", "us", "ap"]),
        healthy: oneOf([true, true, true, false]),
        draining: oneOf([false, false, false, true]),
        weight: oneOf([1, 2, 3, 0]),
        softLimit: Arbitrary.schema(between(1, 3)),
        hardLimit: oneOf([3, 1, 2, 5, Infinity])
      }),
      (fields) => backend({ id: "", ...fields })
    )
  }),
  { maxLength: 80 }
)

describe("D4: what it says is what then happens, and asking changes nothing", () => {
  const clients = homes.map((_, index) => clientNumber(index))

  for (const spillAt of ["hard", "soft"] as const) {
    for (const bindingMaxConnections of [0, 2]) {
      it.effect.prop(
        `spilling at the ${spillAt} limit, bindings of ${bindingMaxConnections} connections`,
        [steps],
        ([steps]) =>
          Effect.gen(function* () {
            const all = yield* services
            const { explain, router, upstreams } = all
            const running: Array<Route> = []
            for (const step of steps) {
              const { pick } = step
              const id = `b${pick % 8}`
              if (step.kind === "put") upstreams.put({ ...step.backend, id })
              else if (step.kind === "drop") upstreams.drop(id)
              else if (step.kind === "wait") yield* TestClock.adjust(pick)
              else if (step.kind !== "route") {
                const [route] = running.splice(pick % Math.max(1, running.length), 1)
                if (route !== undefined) router[step.kind](route)
              } else {
                const client = pick % homes.length
                const before = stateOf(all, clients)
                const said = yield* explain.explain(ipOf(client), step.app)
                assert.strictEqual(stateOf(all, clients), before, "changed by asking")
                assert.strictEqual(said.candidates.total, said.candidates.shown.length)
                const size = Array.from(upstreams.all()).length
                assert.strictEqual(said.candidates.total + said.out.total, size)

                const tried: Array<Route> = []
                const routeNow = () => {
                  const more = { app: step.app, tried: tried.map(({ lease }) => lease.upstream) }
                  return router.route(request(client, homes[client], more))
                }
                const first = routeNow()
                if (typeof first === "string") {
                  assert.deepStrictEqual(said.choice, { backend: null, reason: first })
                  assert.deepStrictEqual(said.candidates.shown, [])
                  continue
                }
                const { affinity, lease, tier } = first
                assert.deepStrictEqual(said.choice, { backend: lease.upstream.backend.id, tier, affinity })
                if (affinity === "hit") assert.isNull(said.binding?.unused)
                if (affinity === "rebound") assert.isString(said.binding?.unused)
                tried.push(first)
                // Further ones are for when those before them fail.
                const next = said.candidates.shown[1]
                if (next !== undefined && pick % 4 === 0) {
                  const second = routed(routeNow())
                  assert.deepStrictEqual([chosen(second), second.tier], [next.id, next.tier])
                  tried.push(second)
                }
                running.push(...tried)
              }
            }
          }).pipe(Effect.provide(layer({ spillAt, bindingMaxConnections, ttlMs: 1_000, gcIntervalMs: 20_000 }))),
        { arbitrary: { runs: 60, size: 80 }, timeout: 60_000 }
      )
    }
  }
})

it.effect("goes by the TLS server name, where a route leads from it; else by the listener's app", () =>
  Effect.gen(function* () {
    const { explain, upstreams } = yield* services
    upstreams.put(backend({ id: "p", app: "pg" }))
    upstreams.put(backend({ id: "w", app: "web" }))
    const ask = (sni: string, app?: string) => explain.explain("192.0.2.1", app, undefined, sni)
    const routed = yield* ask("DB.example.com.", "web")
    assert.deepStrictEqual(
      [routed.sni, routed.app, routed.choice.backend],
      [{ name: "db.example.com", routed: true, refused: false }, "pg", "p"]
    )
    const other = yield* ask("example.org", "web")
    assert.deepStrictEqual(
      [other.sni, other.app, other.choice.backend],
      [{ name: "example.org", routed: false, refused: true }, "web", "w"]
    )
    assert.isNull((yield* explain.explain("192.0.2.1", undefined)).sni)
    assert.strictEqual((yield* Effect.flip(ask("not a name"))).reason, "server-name")
  }).pipe(Effect.provide(layer({}, { serverNames: { routes: [["*.example.com", "pg"]], unknown: "refuse" } })))
)
