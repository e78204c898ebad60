import type { ActorStatus } from "../actor/Supervisor.ts"
import type { BackendEvent } from "../backends/BackendEvents.ts"
import type { BackendView } from "../backends/BackendView.ts"
import type { SourceError } from "../routing/BackendSource.ts"
import type { Census } from "../traffic/Transport.ts"

/**
 * What the live stream says, as JSON. Each message has only what has changed since the one before; the first one on a
 * connection has everything. Keyed values replace the ones that are known under their keys, and null removes them. Times are
 * Unix milliseconds.
 */
export interface LiveMessage {
  /** When it was read. */
  readonly at: number
  readonly parts?: Partial<Parts>
  /** By slot: a number that a backend keeps for as long as it is shown. */
  readonly backends?: Readonly<Record<string, BackendRow | null>>
  /** By slot; those that have changed longest ago come first, a bounded number at a time. */
  readonly loads?: Readonly<Record<string, Load | null>>
  /** By the client's country and the backend's region, `BR sa`; `?` for an unknown country. */
  readonly flows?: Readonly<Record<string, Flow | null>>
  /** How many connections have ended so, by `by phase cause`. */
  readonly ends?: Readonly<Record<string, End>>
  readonly events?: ReadonlyArray<BackendEvent>
  readonly samples?: ReadonlyArray<Sample>
}

/** Those that stand alone. */
export interface Parts {
  readonly pop: Pop
  readonly readiness: Readiness
  readonly table: Table
  /** Backends of the table by state. */
  readonly states: Readonly<Partial<Record<BackendView["state"], number>>>
  /** Of the listeners' apps and all others. */
  readonly pools: ReadonlyArray<PoolRow>
  /** Clients turned away since the start, by reason. */
  readonly rejected: Readonly<Record<string, number>>
  readonly quarantined: Bounded<readonly [id: string, reason: string]>
  readonly actors: Bounded<ActorRow>
  readonly self: Self
}

export interface Pop {
  readonly version: string
  readonly pop: string
  readonly region: string
  readonly startedAt: number
  readonly engine: string
  readonly listeners: ReadonlyArray<readonly [address: string, app: string]>
}

export interface Readiness {
  readonly ready: boolean
  readonly reasons: ReadonlyArray<string>
  readonly degraded: ReadonlyArray<string>
}

export interface Table {
  readonly version: number
  readonly origin: "none" | "source" | "snapshot"
  /** How many there are, and how many of them are told of here. */
  readonly backends: number
  readonly shown: number
  readonly quarantined: number
  /** When the source last confirmed what is served. */
  readonly confirmedAt: number | null
  readonly lost: Pick<SourceError, "detail" | "reason" | "source"> | null
  readonly held: { readonly eligible: number; readonly lost: number } | null
}

export interface PoolRow {
  /** Null: all backends together. */
  readonly app: string | null
  readonly eligible: number
  readonly up: number
  readonly panic: boolean
}

export interface Bounded<A> {
  readonly total: number
  readonly shown: ReadonlyArray<A>
}

export interface ActorRow extends Pick<ActorStatus, "name" | "restarts" | "state"> {
  readonly startedAt: number
  readonly lastFailure: NonNullable<ActorStatus["lastFailure"]> | null
}

/** The process itself. Bytes, but for what says otherwise; null where the system does not tell. */
export interface Self {
  /** How late the control loop came to its timers in the last ten seconds, in milliseconds. */
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Share of one processor in use, all threads. */
  readonly cpu: number | null
  readonly rss: number
  readonly heap: number
  readonly heapLimit: number
  readonly fds: number | null
  readonly fdLimit: number
  readonly connectionLimit: number
  /** Why nobody is accepted now. */
  readonly paused: "limit" | "overload" | null
  readonly transport: Census
  /** Access-log lines lost. */
  readonly logDropped: number
  readonly geoBuiltAt: number | null
  /** Of those that clients are shown, the one that ends first; null where no listener ends TLS. */
  readonly certificate: { readonly source: string; readonly notAfter: number } | null
  readonly viewers: number
}

export type BackendRow = readonly [
  id: string,
  app: string,
  region: string,
  country: string | null,
  address: string,
  state: BackendView["state"],
  circuit: BackendView["circuit"],
  /** Why the last check failed. */
  why: string | null,
  weight: number,
  softLimit: number,
  /** 0: none. */
  hardLimit: number,
  share: number,
  /** The POP that owns a registered one; null: written by hand. */
  owner: string | null
]

/** Connections now, and bytes to and from the backend in a second. */
export type Load = readonly [connections: number, toBackend: number, fromBackend: number]

/** Since the start, and in the last five minutes. */
export type End = readonly [all: number, recent: number]

/** Connections open now, and those begun since the start. */
export type Flow = readonly [open: number, begun: number]

/** One second, or longer ones when nobody looks or a look costs much: figures per second. Null: the process stood still. */
export type Sample = readonly [
  at: number,
  open: number | null,
  begun: number | null,
  ended: number | null,
  refused: number | null,
  toBackends: number | null,
  fromBackends: number | null
]
