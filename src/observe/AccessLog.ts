import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Cause, Phase, TerminatedBy } from "../domain/Termination.ts"

/** One ended connection (C6). Null: not known, or it never got that far. Byte counts: in is client to backend. */
export interface AccessEntry {
  /** End of the connection, ISO 8601 UTC. */
  readonly ts: string
  readonly conn: string
  readonly pop: string
  readonly client: string
  readonly client_port: number
  /** Who has named the client in a PROXY header. */
  readonly peer: string | null
  readonly country: string | null
  readonly region: string | null
  readonly app: string
  readonly listener: string
  readonly sni: string | null
  readonly backend: string | null
  readonly backend_addr: string | null
  readonly tier: number | null
  readonly affinity: "new" | "hit" | "rebound" | null
  readonly attempts: number
  readonly connect_ms: number | null
  readonly duration_ms: number
  readonly bytes_in: number
  readonly bytes_out: number
  readonly end_by: TerminatedBy
  readonly end_phase: Phase
  readonly end_cause: Cause
  /** Of those that are traced (O1). */
  readonly trace_id?: string
}

/** Takes plain values and does no I/O in the caller; a log that can't keep up loses lines, counted, never memory. */
export class AccessLog extends Context.Service<
  AccessLog,
  {
    readonly write: (entry: AccessEntry) => void
    readonly dropped: () => number
  }
>()("edgeproxy/observe/AccessLog") {
  static readonly layerOff: Layer.Layer<AccessLog> = Layer.succeed(AccessLog, {
    write: () => undefined,
    dropped: () => 0
  })

  /** Collects entries for a test. */
  static readonly layerMemory = (entries: Array<AccessEntry>): Layer.Layer<AccessLog> =>
    Layer.succeed(AccessLog, { write: (entry) => void entries.push(entry), dropped: () => 0 })
}
