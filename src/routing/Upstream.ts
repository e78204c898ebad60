import { type Backend, isInRotation } from "../domain/Backend.ts"
import type { ChoiceTree, Member } from "./ChoiceTree.ts"

/**
 * One backend with what this POP adds to it: the connections it carries. The record outlives its row while connections
 * run on it, so a row that goes and comes back finds its load unforgotten.
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
  /** Its row of counters; the bin once nothing refers to the record any more. */
  row: number
  places: Array<Place>
}

/** Where an upstream stands in one tree of candidates. */
export interface Place {
  readonly tree: ChoiceTree<Upstream>
  readonly member: Member<Upstream>
}

/** Live connections and reservations: what R1 and R5 count. */
export const connectionsOf = (upstream: Upstream): number => upstream.live + upstream.reserved

/** May carry connections at all (A2): bound clients need no more than this and room below the hard limit. */
export const isEligible = (upstream: Upstream): boolean => upstream.listed && isInRotation(upstream.backend)

export const hasRoom = (upstream: Upstream): boolean => connectionsOf(upstream) < upstream.backend.hardLimit

/** May be chosen for a new client (R4). */
export const takesNewClients = (upstream: Upstream): boolean => isEligible(upstream) && upstream.backend.weight > 0
