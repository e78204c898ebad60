import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AccessEntry } from "./AccessLog.ts"
import type { Collector } from "./Metric.ts"

export const signals = ["traces", "metrics", "logs"] as const

export type Signal = (typeof signals)[number]

/** What became of the items of a signal: spans, readings, log records. */
export interface ExportCounts {
  readonly exported: number
  /** Lost: there was no room, the collector would not have them, or it could not be reached for too long. */
  readonly dropped: { readonly full: number; readonly rejected: number; readonly unreachable: number }
  readonly waiting: number
  /** Requests that did not come to a good end, repeated or not. */
  readonly failedRequests: number
}

/** The export to a collector, where there is one. */
export interface Telemetry {
  readonly counts: (signal: Signal) => ExportCounts
  /** Reads all that is counted and hands it over to be exported. */
  readonly read: (collectors: ReadonlyArray<Collector>) => Effect.Effect<void>
  /** A connection has ended; never waits. */
  readonly logAccess: (entry: AccessEntry) => void
}

/** Undefined: nothing is exported. */
export const Telemetry = Context.Reference<Telemetry | undefined>("edgeproxy/observe/Telemetry", {
  defaultValue: () => undefined
})
