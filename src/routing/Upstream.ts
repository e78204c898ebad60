import { type Backend, isInRotation } from "../domain/Backend.ts"
import { type Circuit, closed } from "../domain/Circuit.ts"
import type { ChoiceTree, Member } from "./ChoiceTree.ts"
import type { Pool } from "./Pool.ts"

/** What this POP has seen of a backend, as its row says what is wanted of it. */
export interface Observed {
  /** By active checks (H1); true without them. */
  readonly up: boolean
  /** Why the last check failed; undefined when it passed. */
  readonly checkError: string | undefined
  /** By what became of connections (H2). */
  readonly circuit: Circuit
  /** The circuit lets one more connection go there. */
  readonly admits: boolean
  /** The part of its weight that counts while it starts slowly; 1 in full swing. */
  readonly share: number
}

/** A new backend may serve at once. */
export const unobserved: Observed = { up: true, checkError: undefined, circuit: closed, admits: true, share: 1 }

/**
 * One backend with what this POP adds to it: the connections it carries, and what is seen of it. The record outlives its
 * row while connections run on it, so a row that goes and comes back finds its load unforgotten.
 */
export interface Upstream {
  /** Names the record in bindings; never used again for another. */
  readonly seq: number
  /** Two independent hashes of the id: its place among the candidates, the same at every POP. */
  readonly hash: number
  readonly salt: number
  backend: Backend
  /** Still in the routing table. */
  listed: boolean
  live: number
  reserved: number
  /** Opened ahead of any client, or being so. With the others within the hard limit (H5), but no load. */
  warm: number
  observed: Observed
  /** What its pools have counted it as. */
  counted: Counted
  /** Its row of counters; the bin once nothing refers to the record any more. */
  row: number
  places: Array<Place>
}

/** `up`: may be chosen, and nothing is known against it; `out`: wanted, but what is seen of it speaks against it. */
export type Counted = "up" | "out" | "not"

/** Where an upstream stands in one tree of candidates. */
export interface Place {
  readonly pool: Pool
  readonly tree: ChoiceTree<Upstream>
  readonly member: Member<Upstream>
}

/** Live connections and reservations: what R1 and R5 count. */
export const connectionsOf = (upstream: Upstream): number => upstream.live + upstream.reserved

/** The table wants it to carry connections. */
export const isWanted = (upstream: Upstream): boolean => upstream.listed && isInRotation(upstream.backend)

/** What is seen of it lets it carry connections: up by checks, circuit not open. */
export const isSound = ({ observed }: Upstream): boolean => observed.up && observed.circuit._tag !== "Open"

/** What is seen of it keeps one more connection away: it is down, its circuit is open, or those on trial are enough. */
export const isOut = (upstream: Upstream): boolean => !upstream.observed.admits || !isSound(upstream)

/**
 * May carry connections of a pool's clients (A2): bound ones need no more than this and room. What is seen of backends is
 * ignored in a panic (H3), what the table wants is not.
 */
export const isEligible = (upstream: Upstream, panic: boolean): boolean =>
  isWanted(upstream) && (panic || isSound(upstream))

/** Below its hard limit. */
export const belowLimit = (upstream: Upstream): boolean => connectionsOf(upstream) < upstream.backend.hardLimit

/** One more connection may go there: below its hard limit, and not one too many on trial. */
export const hasRoom = (upstream: Upstream, panic: boolean): boolean =>
  belowLimit(upstream) && (panic || upstream.observed.admits)

/** The table wants it to take new clients (R4). */
export const takesNewClients = (upstream: Upstream): boolean => isWanted(upstream) && upstream.backend.weight > 0

export const countAs = (upstream: Upstream): Counted => {
  if (!takesNewClients(upstream)) return "not"
  const { circuit, up } = upstream.observed
  return up && circuit._tag === "Closed" ? "up" : "out"
}
