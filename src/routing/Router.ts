import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Backend } from "../domain/Backend.ts"
import { affinityHash, type Client } from "../domain/Client.ts"
import { hashText } from "../domain/Hash.ts"
import type { Region } from "../domain/Region.ts"
import { type ClientGeo, type Tier, tierOf } from "../domain/Score.ts"
import type { BindingRef } from "./BindingTable.ts"
import { Bindings } from "./Bindings.ts"
import type { ChoiceTree } from "./ChoiceTree.ts"
import { Circuits, type HowEnded } from "./Circuits.ts"
import { type Lease, reserve } from "./Lease.ts"
import type { Pool } from "./Pool.ts"
import { connectionsOf, hasRoom, isEligible, type Upstream } from "./Upstream.ts"
import { OUT, OVER_SOFT, Upstreams } from "./Upstreams.ts"

/** What the choice depends on besides the state of the POP. */
export interface RouteRequest {
  readonly client: Client
  readonly geo: ClientGeo
  /** The listener's app; undefined considers all apps (R8). */
  readonly app: string | undefined
  /** Backends this connection has tried in vain; they are out. */
  readonly tried: ReadonlyArray<Upstream>
}

/** What a choice was made of, kept for who asks later (D4). */
export interface Decision {
  /** Its row as it was. */
  readonly backend: Backend
  readonly tier: Tier
  /** `hit`: the client's own binding; `rebound`: it had one that no longer serves; `new`: none, or the binding is full (A4). */
  readonly affinity: "new" | "hit" | "rebound"
  /** Of the backend before this one: live ones and those being dialled. */
  readonly connections: number
  /** What counted of it then (R1). */
  readonly weight: number
  /** Backends of the app that should take new clients, and those of them of which nothing bad was seen. */
  readonly eligible: number
  readonly up: number
  readonly panic: boolean
}

/** A reserved place on a backend, and why this one. Given back by `end` or `fail`; the first of them counts. */
export interface Route {
  readonly lease: Lease
  /** The connection's share in the client's binding; undefined without affinity, beyond A4, and before a `late` one. */
  binding: BindingRef | undefined
  /** The client's own backend has just failed it: only success elsewhere binds it anew, since the failure may pass (A2). */
  readonly late: boolean
  readonly tier: Tier
  readonly affinity: Decision["affinity"]
  readonly decision: Decision
}

/** Why there is no route: nothing eligible, or all of it at the hard limit or tried. */
export type NoRoute = "no-backend" | "no-capacity"

export interface RouterOptions {
  readonly region: Region
  /** A4; 0 is off. */
  readonly bindingMaxConnections: number
}

/**
 * The choice of a backend, synchronous and free of I/O: affinity first (A1-A4), else the nearest tier that has room (R2),
 * and in it the lowest load, equal ones settled by the client's own hash (R1, R7).
 */
export class Router extends Context.Service<
  Router,
  {
    /**
     * Chooses, reserves and binds in one step: a burst can't overfill a backend (R5), and the many connections that a new
     * client opens at once go to one backend.
     */
    readonly route: (request: RouteRequest) => Route | NoRoute
    /** The dial succeeded: the reservation is a live connection. */
    readonly commit: (request: RouteRequest, route: Route) => void
    /**
     * The dial failed: gives everything back; a binding that only this dial had made is forgotten. `blamed`: by the backend's
     * fault (C1), which its circuit is told.
     */
    readonly fail: (route: Route, blamed?: boolean) => void
    /** The connection has ended; how, if it had been bridged. */
    readonly end: (route: Route, how?: HowEnded) => void
  }
>()("edgeproxy/routing/Router") {
  static readonly layer = (options: RouterOptions): Layer.Layer<Router, never, Bindings | Circuits | Upstreams> =>
    Layer.effect(Router, make(options))
}

export const make = Effect.fnUntraced(function* (options: RouterOptions) {
  const upstreams = yield* Upstreams
  const bindings = yield* Bindings
  const circuits = yield* Circuits
  const apps = new Map<string | undefined, { readonly number: number; readonly hash: number }>()

  // The apps of the listeners: a few, and numbers for them make bindings small.
  const appOf = (app: string | undefined) => {
    const known = apps.get(app)
    if (known !== undefined) return known
    const made = { number: apps.size, hash: hashText(app ?? "*") }
    apps.set(app, made)
    return made
  }

  const route = (request: RouteRequest): Route | NoRoute => {
    const { app, client, geo, tried } = request
    const { hash, number } = appOf(app)
    const binding = bindings.find(client.key, number)
    const bound = binding === undefined ? undefined : upstreams.bySeq(binding.backend)
    const pool = upstreams.pool(app)
    const panic = pool !== undefined && pool.panic
    const own = bound !== undefined && fits(bound, app, panic)
    const serves = own && hasRoom(bound, panic) && !tried.includes(bound)
    const full = serves && options.bindingMaxConnections > 0 && (binding?.open ?? 0) >= options.bindingMaxConnections
    if (serves && !full) {
      const tier = tierOf(bound.backend, geo, options.region)
      const decision = decided(bound, tier, "hit", pool)
      const lease = reserve(upstreams, circuits, bound)
      const ref = bindings.bind(client.key, number, bound.seq)
      return { lease, binding: ref, late: false, tier, affinity: "hit", decision }
    }

    const late = own && tried.includes(bound)
    if (pool === undefined || pool.eligible === 0) return "no-backend"
    const chosen = withoutTried(tried, () => choose(pool, geo, options.region, affinityHash(client.key, hash)))
    if (chosen === undefined) return "no-capacity"
    const tier = tierOf(chosen.backend, geo, options.region)
    const affinity = binding === undefined || full ? "new" : "rebound"
    const decision = decided(chosen, tier, affinity, pool)
    return {
      lease: reserve(upstreams, circuits, chosen),
      binding: full || late ? undefined : bindings.bind(client.key, number, chosen.seq),
      late,
      tier,
      affinity,
      decision
    }
  }

  // Few connections ever have tried backends, so taking those out for the moment beats carrying a filter through the trees.
  const withoutTried = (tried: ReadonlyArray<Upstream>, pick: () => Upstream | undefined): Upstream | undefined => {
    for (const { backend, places } of tried) {
      for (const { member, tree } of places) tree.update(member, Infinity, backend.weight)
    }
    const chosen = pick()
    for (const upstream of tried) upstreams.refresh(upstream)
    return chosen
  }

  return Router.of({
    route,
    commit: ({ app, client }, committed) => {
      const { late, lease } = committed
      if (lease.commit() && late) committed.binding = bindings.bind(client.key, appOf(app).number, lease.upstream.seq)
    },
    fail: ({ affinity, binding, lease }, blamed = false) => {
      if (!lease.fail(blamed)) return
      if (blamed) upstreams.suspect(lease.upstream)
      if (binding === undefined) return
      if (affinity === "hit") bindings.close(binding)
      else bindings.cancel(binding)
    },
    end: ({ binding, lease }, how) => {
      if (lease.release(how) && binding !== undefined) bindings.close(binding)
    }
  })
})

const decided = (upstream: Upstream, tier: Tier, affinity: Decision["affinity"], pool: Pool | undefined): Decision => ({
  backend: upstream.backend,
  tier,
  affinity,
  connections: connectionsOf(upstream),
  weight: upstream.backend.weight * upstream.observed.share,
  eligible: pool?.eligible ?? 0,
  up: pool?.up ?? 0,
  panic: pool?.panic ?? false
})

const fits = (upstream: Upstream, app: string | undefined, panic: boolean): boolean =>
  isEligible(upstream, panic) && (app === undefined || upstream.backend.app === app)

/** The trees that can hold a candidate, nearest tier first (R2). */
const tiersOf = (pool: Pool, geo: ClientGeo, popRegion: Region): ReadonlyArray<ChoiceTree<Upstream> | undefined> => [
  geo.country === undefined ? undefined : pool.byCountry.get(geo.country),
  geo.region === undefined ? undefined : pool.byRegion.get(geo.region),
  pool.byRegion.get(popRegion),
  pool.all
]

/**
 * The first tier with a candidate decides. Its tree may hold members of a nearer tier too, but those are all without room,
 * or that tier would have decided. With spilling at the soft limit a tier whose members have all reached it waits until the
 * others have as well (R6). Those that what is seen of them keeps out come last, and in a panic only (H3).
 */
export const choose = (pool: Pool, geo: ClientGeo, popRegion: Region, hash: number): Upstream | undefined => {
  const tiers = tiersOf(pool, geo, popRegion)
  for (const tree of tiers) if (tree !== undefined && tree.lowest() < OVER_SOFT) return tree.choose(hash)
  for (const tree of tiers) if (tree !== undefined && tree.lowest() < OUT) return tree.choose(hash)
  if (!pool.panic) return undefined
  for (const tree of tiers) if (tree !== undefined && tree.lowest() < Infinity) return tree.choose(hash)
  return undefined
}
