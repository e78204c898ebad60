import type { ActorStatus } from "../actor/Supervisor.ts"
import { LOOK_MS } from "../observe/LoopDelay.ts"
import type { Pool } from "../routing/Pool.ts"
import type { TableStatus } from "../routing/RoutingTable.ts"
import type { Certificate } from "../tls/Certificate.ts"
import type { ActorRow, Bounded, PoolRow, Self, Table } from "./LiveMessage.ts"

/** The parts of the live stream, from what their owners say. Pure. */

/** Entries of a list: whoever wants all of a longer one asks the API. */
const SHOWN = 50

/** Two hundred looks at the loop. */
export const LOOP_WINDOW_MS = 200 * LOOK_MS

const cut = (text: string): string => (text.length > 200 ? `${text.slice(0, 199)}…` : text)

export const tablePart = (status: TableStatus, shown: number, wallNow: number): Table => ({
  version: status.version,
  origin: status.origin,
  backends: status.backends,
  shown,
  quarantined: status.quarantined,
  // To the second: it is an age for people, and a new number is a change to be told.
  confirmedAt: status.ageMs === undefined ? null : Math.round((wallNow - status.ageMs) / 1_000) * 1_000,
  lost:
    status.lost === undefined
      ? null
      : { source: status.lost.source, reason: status.lost.reason, detail: cut(status.lost.detail) },
  held: status.held === undefined ? null : { eligible: status.held.eligible, lost: status.held.lost }
})

export const quarantinedPart = (rows: ReadonlyMap<string, string>): Bounded<readonly [string, string]> => {
  const shown: Array<readonly [string, string]> = []
  for (const [id, reason] of rows) {
    if (shown.length === SHOWN) break
    shown.push([cut(id), cut(reason)])
  }
  return { total: rows.size, shown }
}

const actorRow = ({ lastFailure, name, restarts, startedAt, state }: ActorStatus): ActorRow => ({
  name,
  state,
  restarts,
  startedAt,
  lastFailure: lastFailure === undefined ? null : { at: lastFailure.at, message: cut(lastFailure.message) }
})

const unrest = ({ restarts, state }: ActorStatus): number =>
  state === "crash-loop" ? 3 : state === "restarting" ? 2 : restarts > 0 ? 1 : 0

/** Those that fare worst first. */
export const actorsPart = (actors: ReadonlyArray<ActorStatus>): Bounded<ActorRow> => ({
  total: actors.length,
  shown: actors
    .toSorted((a, b) => unrest(b) - unrest(a))
    .slice(0, SHOWN)
    .map(actorRow)
})

/** All backends together, those whose pools are in panic, and the others, as many as there is room for. */
export const poolsPart = (pools: Iterable<Pool>): ReadonlyArray<PoolRow> => {
  const panicking: Array<PoolRow> = []
  const calm: Array<PoolRow> = []
  for (const { app, eligible, panic, up } of pools) {
    const list = panic ? panicking : calm
    if (list.length < SHOWN) list.push({ app: app ?? null, eligible, up, panic })
  }
  return [...panicking, ...calm].slice(0, SHOWN)
}

/** The one that ends first. */
export const certificatePart = (
  certificates: ReadonlyArray<Pick<Certificate, "notAfter" | "source">>
): Self["certificate"] => {
  const [first, ...others] = certificates
  if (first === undefined) return null
  const { notAfter, source } = others.reduce((one, other) => (other.notAfter < one.notAfter ? other : one), first)
  return { source: cut(source), notAfter }
}

/** `delays` longest first. */
export const loopPart = (delays: ReadonlyArray<number>): Self["loop"] => {
  const at = (share: number): number => Math.round((delays[Math.floor(delays.length * share)] ?? 0) * 10) / 10
  return { p50: at(0.5), p99: at(0.01), max: at(0) }
}
