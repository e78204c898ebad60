import type { NoRoute } from "../routing/Router.ts"

/** A backend, or one that only the log knows. Named as the JSON output names it. */
export interface ReplayedBackend {
  readonly id: string
  /** Null: it is not in the table that was replayed to. */
  readonly region: string | null
  readonly app: string | null
  /** Connections it had by the log, and has now. */
  readonly before: number
  readonly now: number
  readonly bytes: number
  /** Most at once. */
  readonly peak: number
  readonly soft_limit: number | null
  /** 0 for none. */
  readonly hard_limit: number | null
  /** Connections that came while it was at its soft limit. */
  readonly over_soft: number
  /** It was at its hard limit, first at this time; null: never. */
  readonly full_at: string | null
}

/** Where the clients of a place go, by the region of the backend. */
export interface ReplayedPlace {
  /** Null: not known. */
  readonly place: string | null
  readonly connections: number
  readonly unroutable: number
  readonly to: Readonly<Record<string, number>>
}

export interface ReplayReport {
  readonly log: {
    readonly connections: number
    readonly clients: number
    /** Turned away before a choice, then; not replayed. */
    readonly refused: number
    readonly bad: number
    readonly from: string | null
    readonly to: string | null
  }
  readonly routed: number
  readonly unroutable: Readonly<Record<NoRoute, number>>
  /** Against the log: the same backend; another; had none and has one; had one and has none; none both times. */
  readonly same: number
  readonly moved: number
  readonly gained: number
  readonly lost: number
  readonly none: number
  /** Connections by tier, 0 to 3. */
  readonly tiers_then: ReadonlyArray<number>
  readonly tiers_now: ReadonlyArray<number>
  /** Most at once, all together. */
  readonly peak: number
  readonly backends: ReadonlyArray<ReplayedBackend>
  readonly regions: ReadonlyArray<ReplayedPlace>
  readonly countries: ReadonlyArray<ReplayedPlace>
  /** From whom to whom, most first; null: none. */
  readonly moves: ReadonlyArray<{
    readonly from: string | null
    readonly to: string | null
    readonly connections: number
  }>
}
