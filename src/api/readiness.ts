import type { ActorStatus } from "../actor/Supervisor.ts"
import type { TableStatus } from "../routing/RoutingTable.ts"

/** What readiness is made of. */
export interface Condition {
  readonly draining: boolean
  readonly table: TableStatus
  readonly listeners: { readonly wanted: number; readonly open: number }
  /** How long accepting has been paused; undefined when it is not. */
  readonly pausedMs: number | undefined
  readonly actors: ReadonlyArray<ActorStatus>
  /** Messages to the threads of the byte engine wait, because their rings are full: a thread hangs, or can't keep up. */
  readonly threadsBehind: boolean
  /** Registrations can't be made durable. */
  readonly storeFails: boolean
  /** What other parts of the program say limits the POP. */
  readonly others: ReadonlyArray<string>
}

export interface Readiness {
  readonly reasons: ReadonlyArray<string>
  readonly degraded: ReadonlyArray<string>
}

/** A pause as long as this is no burst any more (D3). */
export const MAX_PAUSE_MS = 5_000

/** A source is asked every few seconds; one that has not answered for a minute counts as silent. */
export const MAX_TABLE_AGE_MS = 60_000

const named = (conditions: Readonly<Record<string, boolean>>): ReadonlyArray<string> =>
  Object.entries(conditions).flatMap(([name, is]) => (is ? [name] : []))

/**
 * Whether clients should be sent here (D3): `reasons` say why not. What only limits the POP is `degraded`. Names and not
 * details: everyone may ask.
 */
export const readinessOf = ({
  actors,
  draining,
  listeners,
  others,
  pausedMs,
  storeFails,
  table,
  threadsBehind
}: Condition): Readiness => ({
  reasons: named({
    draining,
    "no-table": table.origin === "none",
    "listener-down": listeners.open < listeners.wanted,
    "accepting-paused": pausedMs !== undefined && pausedMs > MAX_PAUSE_MS
  }),
  degraded: [
    ...named({
      "source-lost": table.lost !== undefined,
      "table-stored": table.origin === "snapshot",
      "table-old": table.ageMs !== undefined && table.ageMs > MAX_TABLE_AGE_MS,
      "store-failing": storeFails,
      "update-held": table.held !== undefined,
      "rows-quarantined": table.quarantined > 0,
      "data-plane-behind": threadsBehind,
      "actor-failing": actors.some(({ state }) => state === "crash-loop")
    }),
    ...others
  ]
})
