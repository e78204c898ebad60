import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type RouteRequest, Router } from "../../src/routing/Router.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend, clientNumber, geoOf } from "../support/fixtures.ts"
import { routing } from "../support/routing.ts"
import { figure, type Measure, type Row } from "./Measure.ts"
import { median, quantile, turned } from "./statistics.ts"

const SIZES = [10, 1_000, 10_000]
const LOADS = ["idle", "random loads"] as const
const ROUNDS = 7
const OPERATIONS = 5_000
const WARM_UP = 5_000
const KNOWN_CLIENTS = 100_000

/** R10, in microseconds. */
const GOAL = { backends: 10_000, median: 10, p99: 30 }

type Load = (typeof LOADS)[number]

/** One table under one load, asked in one way. */
interface Case {
  readonly what: string
  readonly size: number
  readonly router: Router["Service"]
  readonly next: () => RouteRequest
  readonly rounds: Array<{ readonly p50: number; readonly p99: number; readonly max: number }>
}

const pick = (below: number): number => Math.floor(Math.random() * below)

const requestOf = (client: number): RouteRequest => ({
  client: clientNumber(client),
  geo: geoOf("DE"),
  app: "web",
  tried: []
})

/** A router whose backends all stand in the country of the client: one tier, and every tree of the choice holds them all. */
const makeRouter = Effect.fnUntraced(function* (size: number, load: Load, ttlMs: number) {
  const context = yield* Layer.build(routing({ ttlMs, bindingMax: 1_000_000 }))
  const upstreams = Context.get(context, Upstreams)
  for (let i = 0; i < size; i++) {
    upstreams.put(backend({ id: `backend-${i}`, app: "web", country: "DE", weight: 1 + (i % 4) }))
  }
  if (load === "random loads") {
    for (const upstream of upstreams.all()) {
      upstream.live = pick(upstream.backend.softLimit)
      upstreams.refresh(upstream)
    }
  }
  return Context.get(context, Router)
})

const step = ({ next, router }: Pick<Case, "next" | "router">): number => {
  const request = next()
  const before = performance.now()
  const route = router.route(request)
  if (typeof route === "string") throw new Error(`no route: ${route}`)
  router.end(route)
  return (performance.now() - before) * 1_000
}

const measureOnce = (each: Case): void => {
  const times = Float64Array.from({ length: OPERATIONS }, () => step(each))
  each.rounds.push({ p50: quantile(times, 0.5), p99: quantile(times, 0.99), max: quantile(times, 1) })
}

const rowOf = ({ rounds, size, what }: Case): Row => {
  const p50 = median(rounds.map((round) => round.p50))
  const p99 = median(rounds.map((round) => round.p99))
  const figures = [
    figure("p50", p50, "us"),
    figure("p99", p99, "us"),
    figure("max", median(rounds.map(({ max }) => max)), "us")
  ]
  if (size !== GOAL.backends) return { what, figures }
  const goal = { text: `p50 <= ${GOAL.median}, p99 <= ${GOAL.p99} us`, met: p50 <= GOAL.median && p99 <= GOAL.p99 }
  return { what, figures, goal }
}

const run = Effect.gen(function* () {
  const known = Array.from({ length: KNOWN_CLIENTS }, (_, client) => requestOf(client))
  const anyKnown = (): RouteRequest => known[pick(KNOWN_CLIENTS)] ?? requestOf(0)
  const cases: Array<Case> = []
  for (const size of SIZES) {
    for (const load of LOADS) {
      const table = `${size.toLocaleString("en")} backends, ${load}`
      const unbound = yield* makeRouter(size, load, 0)
      cases.push({ what: `${table}, no bindings`, size, router: unbound, next: anyKnown, rounds: [] })

      const bound = yield* makeRouter(size, load, 600_000)
      for (const request of known) step({ router: bound, next: () => request })
      cases.push({ what: `${table}, known client`, size, router: bound, next: anyKnown, rounds: [] })
      let strangers = KNOWN_CLIENTS
      cases.push({ what: `${table}, new client`, size, router: bound, next: () => requestOf(strangers++), rounds: [] })
    }
  }
  for (const each of cases) for (let i = 0; i < WARM_UP; i++) step(each)
  for (let round = 0; round < ROUNDS; round++) {
    for (const each of turned(cases, round)) {
      measureOnce(each)
      yield* Effect.yieldNow
    }
  }
  return { rows: cases.map(rowOf) }
})

/** R10: what one choice costs, reservation and binding included. */
export const decision: Measure = {
  name: "decision",
  how:
    `route and end of one connection in-process, all backends in one tier, ${KNOWN_CLIENTS.toLocaleString("en")} clients; ` +
    `medians of ${ROUNDS} interleaved rounds of ${OPERATIONS.toLocaleString("en")}, max too`,
  run: () => run
}
