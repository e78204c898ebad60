import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { isDeepStrictEqual } from "node:util"
import type { Backend } from "../../src/domain/Backend.ts"
import * as Circuit from "../../src/domain/Circuit.ts"
import { shareAfter } from "../../src/domain/SlowStart.ts"
import { type Route, Router } from "../../src/routing/Router.ts"
import { connectionsOf, type Upstream } from "../../src/routing/Upstream.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { backend, clientNumber, geoOf } from "../support/fixtures.ts"
import * as RouterModel from "../support/RouterModel.ts"
import { routing } from "../support/routing.ts"

const BACKENDS = 8
const LONGEST = 1_600
/** So many that 10^5 steps are played in all; `MODEL_ROUNDS` times as many when there is time. */
const RUNS = 80 * Number(process.env["MODEL_ROUNDS"] ?? "1")
const STEPS = 100_000
const TTL_MS = 1_000
const circuit: Circuit.CircuitOptions = { failureThreshold: 2, successThreshold: 2, timeoutMs: 700 }
/** Time goes in steps of as many milliseconds. */
const TICK_MS = 50

/** Where client 0, 1, 2 ... is. */
const homes = [undefined, "BR", "BR", "DE", "US", "JP"]

interface Step {
  readonly kind: "route" | "commit" | "end" | "fail" | "put" | "drop" | "wait" | "check" | "share"
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
      "wait",
      "fail",
      "check",
      "share",
      "wait"
    ]),
    pick: Arbitrary.schema(between(0, 1_000)),
    app: oneOf([undefined, "a", "b"]),
    backend: Arbitrary.map(
      Arbitrary.all({
        app: oneOf(["a", "b"]),
        country: oneOf([undefined, "BR", "DE", "US"]),
        region: oneOf<Backend["region"]>(["sa", "eu", "us", "ap"]),
        port: oneOf([80, 80, 80, 81]),
        healthy: oneOf([true, true, true, true, true, false]),
        draining: oneOf([false, false, false, false, true]),
        expired: oneOf([false, false, false, false, true]),
        weight: oneOf([1, 2, 3, 0]),
        softLimit: Arbitrary.schema(between(1, 3)),
        hardLimit: oneOf([3, 1, 2, 5, Infinity])
      }),
      (fields) => backend({ id: "", ...fields })
    )
  }),
  { maxLength: LONGEST }
)

/** A connection between its route and its end. */
interface Running {
  readonly client: number
  readonly inModel: RouterModel.ModelRequest
  readonly tried: ReadonlyArray<Upstream>
  readonly route: Route
  readonly upstream: RouterModel.ModelUpstream
  readonly trial: RouterModel.ModelTrial
  readonly binding: RouterModel.ModelBinding | undefined
}

const apps = [undefined, "a", "b"]
const oneByOne = ["client", "backend", "proxy"] as const

const take = <A>(list: Array<A>, pick: number): A | undefined => list.splice(pick % Math.max(1, list.length), 1)[0]

/** Steps, and suites, so far. */
let played = 0
let suites = 0

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
    const { trial, upstream } = model.reserve(lease.upstream.backend.id)
    const binding = route.binding === undefined ? undefined : model.bind(inModel, upstream, now())
    running.push({ client, inModel, tried, route, upstream, trial, binding })
  }

  const commit = ({ route, trial }: Running): void => {
    if (route.lease.commit()) trial.connectedAt = now()
  }

  /** `pick` says who is to blame for a failed dial, or who has ended the connection and after how many bytes. */
  const end = ({ binding, inModel, route, trial, upstream }: Running, how: "end" | "fail", pick: number): void => {
    const blamed = pick % 4 !== 0
    const ended = { by: oneByOne[pick % 3] ?? "client", bytesOut: pick % 2 }
    if (how === "fail") router.fail(route, blamed)
    else router.end(route, ended)
    // Whoever gives it back again, or makes it live too late, changes nothing.
    router.end(route, { by: "backend", bytesOut: 0 })
    router.fail(route, true)
    route.lease.commit()
    assert.isFalse(route.lease.release())
    const livedMs = trial.connectedAt === undefined ? 0 : now() - trial.connectedAt
    const verdict = Circuit.verdictOf(ended.by, ended.bytesOut, livedMs)
    model.tell(upstream, trial, how === "fail" ? (blamed ? "failed" : "neutral") : verdict, now())
    model.release(upstream)
    if (binding === undefined) return
    model.close(binding, now())
    if (how === "fail" && route.affinity !== "hit") model.forget(inModel, binding)
  }

  const wait = Effect.fnUntraced(function* (ticks: number) {
    for (let tick = 0; tick < ticks; tick++) {
      yield* TestClock.adjust(TICK_MS)
      model.turn(now())
      for (const { trial, upstream } of running) {
        const livedMs = trial.connectedAt === undefined ? 0 : now() - trial.connectedAt
        if (trial.watched && livedMs >= Circuit.PROVEN_MS) model.tell(upstream, trial, "succeeded", now())
      }
    }
  })

  const see = (id: string, seen: { readonly up: boolean } | { readonly share: number }): void => {
    const [known, upstream] = [model.upstreams.get(id), upstreams.get(id)]
    if (known === undefined || upstream === undefined) return
    Object.assign(known, seen)
    upstreams.observe(upstream, seen)
  }

  const check = (): void => {
    for (const app of apps) assert.strictEqual(upstreams.pool(app)?.panic ?? false, model.panics(app))
    for (let index = 0; index < BACKENDS; index++) {
      const known = model.upstreams.get(`b${index}`)
      const upstream = upstreams.get(`b${index}`)
      assert.strictEqual(upstream !== undefined, known?.listed === true)
      if (upstream === undefined || known === undefined) continue
      assert.strictEqual(connectionsOf(upstream), known.connections)
      const { circuit, share, up } = upstream.observed
      assert.strictEqual(up, known.up)
      assert.strictEqual(share, known.share)
      // The assertion takes its time, and this is looked at a million times.
      if (!isDeepStrictEqual(circuit, known.circuit)) assert.deepStrictEqual(circuit, known.circuit)
    }
    assert.strictEqual(Array.from(upstreams.all()).length, model.upstreams.size)
  }

  for (const { app, backend, kind, pick } of steps) {
    played++
    if (kind === "put") put(pick, backend)
    else if (kind === "drop") {
      upstreams.drop(`b${pick % BACKENDS}`)
      model.drop(`b${pick % BACKENDS}`)
    } else if (kind === "wait") yield* wait(pick % 21)
    else if (kind === "check") see(`b${pick % BACKENDS}`, { up: pick % 3 === 0 })
    else if (kind === "share") see(`b${pick % BACKENDS}`, { share: shareAfter(pick, 500) })
    else if (kind === "route") route(pick % homes.length, app)
    else if (kind === "commit") {
      const chosen = running[pick % Math.max(1, running.length)]
      if (chosen !== undefined) commit(chosen)
    } else {
      const chosen = take(running, pick)
      if (chosen === undefined) continue
      end(chosen, kind, pick)
      if (kind === "fail") route(chosen.client, chosen.inModel.app, chosen)
    }
    check()
  }

  for (const connection of running) end(connection, "end", 0)
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

describe("R1, R2, R4, R5, R6, R8, A1, A2, H2, H3, H6: the router against the rules as they read", () => {
  for (const spillAt of ["hard", "soft"] as const) {
    for (const bindingMaxConnections of [0, 2]) {
      let begun = false
      it.effect.prop(
        `spilling at the ${spillAt} limit, ${bindingMaxConnections === 0 ? "no limit" : "A4 with a limit"} on a binding`,
        [steps],
        ([steps]) => {
          if (!begun) suites++
          begun = true
          const panicThreshold = spillAt === "soft" ? 0.4 : 0
          const options = {
            region: "sa",
            spillAt,
            bindingMaxConnections,
            ttlMs: TTL_MS,
            circuit,
            panicThreshold
          } as const
          return play(RouterModel.make(options), [...start, ...steps]).pipe(
            Effect.provide(routing({ ...options, gcIntervalMs: 20_000 }))
          )
        },
        { arbitrary: { runs: RUNS, size: LONGEST }, timeout: 60_000 + 1_000 * RUNS }
      )
    }
  }

  it("all together for 10^5 steps", ({ skip }) => {
    skip(suites < 4, "not all were run")
    assert.isAtLeast(played, STEPS)
  })
})
