import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Backend } from "../../src/domain/Backend.ts"
import { type Route, Router } from "../../src/routing/Router.ts"
import { connectionsOf, type Upstream } from "../../src/routing/Upstream.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { backend, clientNumber, geoOf } from "../support/fixtures.ts"
import * as RouterModel from "../support/RouterModel.ts"
import { routing } from "../support/routing.ts"

const BACKENDS = 8
const TTL_MS = 1_000

/** Where client 0, 1, 2 ... is. */
const homes = [undefined, "BR", "BR", "DE", "US", "JP"]

interface Step {
  readonly kind: "route" | "commit" | "end" | "fail" | "put" | "drop" | "wait"
  readonly pick: number
  readonly app: string | undefined
  readonly backend: Omit<Backend, "id">
}

const steps: Arbitrary.Arbitrary<ReadonlyArray<Step>> = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf<Step["kind"]>([
      "route",
      "commit",
      "end",
      "fail",
      "route",
      "commit",
      "end",
      "route",
      "put",
      "drop",
      "wait"
    ]),
    pick: Arbitrary.schema(between(0, 1_000)),
    app: oneOf([undefined, "a", "b"]),
    backend: Arbitrary.map(
      Arbitrary.all({
        app: oneOf(["a", "b"]),
        country: oneOf([undefined, "BR", "DE", "US"]),
        region: oneOf<Backend["region"]>(["sa", "eu", "us", "ap"]),
        healthy: oneOf([true, true, true, false]),
        weight: oneOf([1, 2, 3, 0]),
        softLimit: Arbitrary.schema(between(1, 3)),
        hardLimit: oneOf([3, 1, 2, 5, Infinity])
      }),
      (fields) => backend({ id: "", ...fields })
    )
  }),
  { maxLength: 400 }
)

/** A connection between its route and its end. */
interface Running {
  readonly client: number
  readonly inModel: RouterModel.ModelRequest
  readonly tried: ReadonlyArray<Upstream>
  readonly route: Route
  readonly upstream: RouterModel.ModelUpstream
  readonly binding: RouterModel.ModelBinding | undefined
}

const take = <A>(list: Array<A>, pick: number): A | undefined => list.splice(pick % Math.max(1, list.length), 1)[0]

/** Plays the steps on the router and on the model, and compares at each. */
const play = Effect.fnUntraced(function* (model: ReturnType<typeof RouterModel.make>, steps: ReadonlyArray<Step>) {
  const clock = yield* Clock.clockWith(Effect.succeed)
  const [router, upstreams] = [yield* Router, yield* Upstreams]
  const running: Array<Running> = []
  const now = (): number => clock.currentTimeMillisUnsafe()

  const put = (index: number, fields: Omit<Backend, "id">): void => {
    const made = { ...fields, id: `b${index % BACKENDS}` }
    upstreams.put(made)
    model.put(made)
  }

  const route = (client: number, app: string | undefined, failed?: Running): void => {
    const geo = geoOf(homes[client])
    const tried = failed === undefined ? [] : [...failed.tried, failed.route.lease.upstream]
    const triedInModel = failed === undefined ? [] : [...failed.inModel.tried, failed.upstream]
    const inModel: RouterModel.ModelRequest = { client: `c${client}`, geo, app, tried: triedInModel }
    const allowed = model.outcomes(inModel, now())
    const route = router.route({ client: clientNumber(client), geo, app, tried })
    if (typeof route === "string") return assert.include(allowed, route)
    const { affinity, lease, tier } = route
    assert.include(allowed, `${lease.upstream.backend.id} ${tier} ${affinity}`)
    assert.isAtMost(connectionsOf(lease.upstream), lease.upstream.backend.hardLimit, "R5")
    const upstream = model.reserve(lease.upstream.backend.id)
    const binding = route.binding === undefined ? undefined : model.bind(inModel, upstream, now())
    running.push({ client, inModel, tried, route, upstream, binding })
  }

  const end = ({ binding, inModel, route, upstream }: Running, how: "end" | "fail"): void => {
    router[how](route)
    // Whoever gives it back again, or makes it live too late, changes nothing.
    router.end(route)
    router.fail(route)
    route.lease.commit()
    assert.isFalse(route.lease.release())
    model.release(upstream)
    if (binding === undefined) return
    model.close(binding, now())
    if (how === "fail" && route.affinity !== "hit") model.forget(inModel, binding)
  }

  const check = (): void => {
    for (let index = 0; index < BACKENDS; index++) {
      const known = model.upstreams.get(`b${index}`)
      const upstream = upstreams.get(`b${index}`)
      assert.strictEqual(upstream !== undefined, known?.listed === true)
      if (upstream !== undefined) assert.strictEqual(connectionsOf(upstream), known?.connections)
    }
    assert.strictEqual(Array.from(upstreams.all()).length, model.upstreams.size)
  }

  for (const { app, backend, kind, pick } of steps) {
    if (kind === "put") put(pick, backend)
    else if (kind === "drop") {
      upstreams.drop(`b${pick % BACKENDS}`)
      model.drop(`b${pick % BACKENDS}`)
    } else if (kind === "wait") yield* TestClock.adjust(pick)
    else if (kind === "route") route(pick % homes.length, app)
    else if (kind === "commit") running[pick % Math.max(1, running.length)]?.route.lease.commit()
    else {
      const chosen = take(running, pick)
      if (chosen === undefined) continue
      end(chosen, kind)
      if (kind === "fail") route(chosen.client, chosen.inModel.app, chosen)
    }
    check()
  }

  for (const connection of running) end(connection, "end")
  for (const upstream of upstreams.all()) assert.strictEqual(connectionsOf(upstream), 0)
  for (let index = 0; index < BACKENDS; index++) upstreams.drop(`b${index}`)
  assert.deepStrictEqual(Array.from(upstreams.all()), [])
  assert.strictEqual(upstreams.pool(undefined)?.members.size, 0)
  assert.strictEqual(upstreams.pool(undefined)?.eligible, 0)
  assert.isUndefined(upstreams.pool("a"))
})

/** Six backends to begin with, so that the first steps have something to choose from. */
const start: ReadonlyArray<Step> = ["sa", "sa", "eu", "eu", "us", "ap"].map((region, pick) => ({
  kind: "put",
  pick,
  app: undefined,
  backend: backend({
    id: "",
    app: pick % 2 === 0 ? "a" : "b",
    region: region as Backend["region"],
    country: region === "sa" ? "BR" : undefined,
    softLimit: 2,
    hardLimit: 3
  })
}))

describe("R1, R2, R4, R5, R6, R8, A1, A2: the router against the rules as they read", () => {
  for (const spillAt of ["hard", "soft"] as const) {
    for (const bindingMaxConnections of [0, 2]) {
      it.effect.prop(
        `spilling at the ${spillAt} limit, ${bindingMaxConnections === 0 ? "no limit" : "A4 with a limit"} on a binding`,
        [steps],
        ([steps]) => {
          const options = { region: "sa", spillAt, bindingMaxConnections, ttlMs: TTL_MS } as const
          return play(RouterModel.make(options), [...start, ...steps]).pipe(
            Effect.provide(routing({ ...options, gcIntervalMs: 20_000 }))
          )
        },
        { arbitrary: { runs: 80, size: 400 }, timeout: 60_000 }
      )
    }
  }
})
