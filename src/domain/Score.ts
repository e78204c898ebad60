import type { Backend } from "./Backend.ts"
import type { Country, Region } from "./Region.ts"

/** How near a backend is to a client (R2): 0 same country, 1 client's region, 2 this POP's region, 3 any other. */
export type Tier = 0 | 1 | 2 | 3

/** What is known of where a client is; both undefined when it is not in the database. A region is never assumed. */
export interface ClientGeo {
  readonly country: Country | undefined
  readonly region: Region | undefined
}

export const unknownGeo: ClientGeo = { country: undefined, region: undefined }

// The load term stays below one tier, so that tiers never mix (R6); towards the ceiling it still tells loads apart.
const STRAIGHT_UP_TO = 99
const HIGHEST = 1e9

const capped = (load: number): number =>
  load < STRAIGHT_UP_TO ? load : STRAIGHT_UP_TO + 1 - 1 / (Math.min(load, HIGHEST) - STRAIGHT_UP_TO + 1)

export const tierOf = (backend: Pick<Backend, "country" | "region">, client: ClientGeo, popRegion: Region): Tier => {
  if (client.country !== undefined && backend.country === client.country) return 0
  if (client.region !== undefined && backend.region === client.region) return 1
  return backend.region === popRegion ? 2 : 3
}

/** The load term of R1, capped: `connections` counts live connections and reservations. Infinite at weight 0. */
export const loadOf = (connections: number, softLimit: number, weight: number): number =>
  weight <= 0 ? Infinity : capped(connections / Math.max(1, softLimit) / weight)

/** R1; the lowest wins. */
export const scoreOf = (tier: Tier, load: number): number => tier * 100 + load
