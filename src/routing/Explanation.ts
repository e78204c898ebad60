import type { ClientRefusal } from "../domain/AccessList.ts"
import { loadOf, scoreOf, type Tier } from "../domain/Score.ts"
import type { Route } from "./Router.ts"
import { belowLimit, connectionsOf, type Upstream } from "./Upstream.ts"

/** Why a backend takes no new clients of an app now. */
export type OutReason =
  /** The listener's app is another one (R8). */
  | "other-app"
  /** Not in the table any more; connections still run on it. */
  | "removed"
  | "unhealthy"
  | "draining"
  /** It had registered and is not heard of any more (D2). */
  | "expired"
  /** Weight 0: it keeps its bound clients only (R4). */
  | "standby"
  /** At its hard limit (R5). */
  | "full"
  /** By active checks (H1). */
  | "down"
  /** It has failed too often in a row (H2). */
  | "circuit-open"
  /** It is on trial after that, with as many connections as a trial may have. */
  | "circuit-half-open"

/** A backend that could be chosen, the figures of R1, and when it would be tried. */
export interface ExplainedCandidate {
  /** 1 is tried first; the next ones when it can't be dialled (C1). */
  readonly rank: number
  readonly id: string
  readonly app: string
  readonly region: string
  readonly country: string | null
  readonly tier: Tier
  /** Live ones and those being dialled, at this POP. */
  readonly connections: number
  readonly soft_limit: number
  /** 0 for none. */
  readonly hard_limit: number
  /** What counts of it now: less than the row's while the backend starts slowly. */
  readonly weight: number
  /** Null at weight 0, where only a binding leads. */
  readonly load: number | null
  readonly score: number | null
  /** At its soft limit, where tiers spill there: it waits until all tiers are (R6). */
  readonly spilled: boolean
  /** The client's own binding leads there (A2), whatever the score. */
  readonly bound: boolean
}

export interface ExplainedOut {
  readonly id: string
  readonly app: string
  readonly reason: OutReason
  readonly connections: number
  readonly hard_limit: number
}

/** The client's binding, and whether it decides. */
export interface ExplainedBinding {
  /** Null when the backend has left the table and carries nothing. */
  readonly backend: string | null
  readonly open_connections: number
  /** Until it expires; null while connections hold it. */
  readonly seconds_left: number | null
  /** Null when it is used. `binding-limit`: it carries all the connections that one binding may (A4). */
  readonly unused: OutReason | "binding-limit" | null
}

/** A list that may be cut, and how long it is in truth. */
export interface Bounded<A> {
  readonly total: number
  readonly shown: ReadonlyArray<A>
}

/** Why a client goes where it goes (D4). Plain data, named as the API names it. */
export interface Explanation {
  readonly client: {
    readonly address: string
    /** Whom limits and affinity take for one client (A1). */
    readonly key: string
    readonly country: string | null
    readonly region: string | null
    /** Why it would not be let in now, whatever follows; null when it would. */
    readonly refused: ClientRefusal | null
  }
  /** The TLS server name it asks for; null when that was not the question. */
  readonly sni: {
    readonly name: string
    /** A route leads from it to the app; else it is the listener's. */
    readonly routed: boolean
    /** Clients that ask for it are reset. */
    readonly refused: boolean
  } | null
  /** Null: the backends of all apps. */
  readonly app: string | null
  readonly pop_region: string
  /** So few backends are up that checks and circuits are ignored (H3). */
  readonly panic: boolean
  readonly binding: ExplainedBinding | null
  /** Where a connection would go now, or why it would be closed. */
  readonly choice:
    | { readonly backend: string; readonly tier: Tier; readonly affinity: Route["affinity"] }
    | { readonly backend: null; readonly reason: "no-backend" | "no-capacity" }
  readonly candidates: Bounded<ExplainedCandidate>
  /** All others. Those of the app come before those of other apps. */
  readonly out: Bounded<ExplainedOut>
}

/** What is seen of a backend and speaks against it. */
const doubtOf = ({ observed }: Upstream): OutReason | undefined => {
  if (!observed.up) return "down"
  if (observed.admits) return undefined
  return observed.circuit._tag === "Open" ? "circuit-open" : "circuit-half-open"
}

/** Why no connection at all may go there; undefined when one may. */
export const barrierOf = (upstream: Upstream, app: string | undefined, panic: boolean): OutReason | undefined => {
  const { backend } = upstream
  if (app !== undefined && backend.app !== app) return "other-app"
  if (!upstream.listed) return "removed"
  if (backend.draining) return "draining"
  if (backend.expired) return "expired"
  if (!backend.healthy) return "unhealthy"
  return (panic ? undefined : doubtOf(upstream)) ?? (belowLimit(upstream) ? undefined : "full")
}

/** Why no new client would go there; undefined for a candidate. */
export const outReasonOf = (upstream: Upstream, app: string | undefined, panic: boolean): OutReason | undefined =>
  barrierOf(upstream, app, panic) ?? (upstream.backend.weight > 0 ? undefined : "standby")

/** Infinity is no number of JSON. */
const limitOf = (limit: number): number => (limit === Infinity ? 0 : limit)

export const candidateOf = (
  upstream: Upstream,
  place: { readonly rank: number; readonly tier: Tier; readonly bound: boolean; readonly spillAt: "hard" | "soft" }
): ExplainedCandidate => {
  const { backend } = upstream
  const connections = connectionsOf(upstream)
  const weight = backend.weight * upstream.observed.share
  const load = loadOf(connections, backend.softLimit, weight)
  const counts = Number.isFinite(load)
  return {
    rank: place.rank,
    id: backend.id,
    app: backend.app,
    region: backend.region,
    country: backend.country ?? null,
    tier: place.tier,
    connections,
    soft_limit: backend.softLimit,
    hard_limit: limitOf(backend.hardLimit),
    weight,
    load: counts ? load : null,
    score: counts ? scoreOf(place.tier, load) : null,
    spilled: place.spillAt === "soft" && connections >= backend.softLimit,
    bound: place.bound
  }
}

export const outOf = (upstream: Upstream, reason: OutReason): ExplainedOut => ({
  id: upstream.backend.id,
  app: upstream.backend.app,
  reason,
  connections: connectionsOf(upstream),
  hard_limit: limitOf(upstream.backend.hardLimit)
})
