import { loadOf, scoreOf, type Tier } from "../domain/Score.ts"
import type { Cause, Phase, TerminatedBy } from "../domain/Termination.ts"
import type { Decision, Route } from "../routing/Router.ts"
import type { ConnectionRecord } from "./Connections.ts"
import type { FailedDial, PastConnection } from "./RecentConnections.ts"
import { formatEndpoint } from "./Transport.ts"

/** The last choice as it was made, with the figures of that moment. Named as the API names it. */
export interface ExplainedDecision {
  readonly backend: string
  readonly backend_addr: string
  readonly tier: Tier
  readonly affinity: Route["affinity"]
  /** Of the backend, before this one came. */
  readonly connections: number
  readonly soft_limit: number
  /** 0 for none. */
  readonly hard_limit: number
  readonly weight: number
  readonly load: number | null
  readonly score: number | null
  /** Backends of the app that should take new clients, and those of them of which nothing bad was seen. */
  readonly candidates: number
  readonly candidates_up: number
  readonly panic: boolean
}

/** What was noted down of one connection (D4): nothing of it is worked out afterwards. */
export interface RecordedConnection {
  readonly conn: string
  readonly state: "open" | "ended"
  readonly client: string
  readonly client_port: number
  readonly peer: string | null
  readonly country: string | null
  readonly region: string | null
  readonly app: string | null
  readonly sni: string | null
  readonly listener: string
  readonly attempts: number
  /** The dials before the last choice, or all of them. */
  readonly failures: ReadonlyArray<FailedDial>
  /** Null: it was never given a backend. */
  readonly decision: ExplainedDecision | null
  readonly connect_ms: number | null
  readonly trace_id: string | null
  readonly end: {
    readonly ts: string
    readonly by: TerminatedBy
    readonly phase: Phase
    readonly cause: Cause
    readonly duration_ms: number
    readonly bytes_in: number
    readonly bytes_out: number
  } | null
}

const decisionOf = (decision: Decision | undefined): ExplainedDecision | null => {
  if (decision === undefined) return null
  const { affinity, backend, connections, eligible, panic, tier, up, weight } = decision
  const load = loadOf(connections, backend.softLimit, weight)
  const counts = Number.isFinite(load)
  return {
    backend: backend.id,
    backend_addr: formatEndpoint(backend),
    tier,
    affinity,
    connections,
    soft_limit: backend.softLimit,
    hard_limit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
    weight,
    load: counts ? load : null,
    score: counts ? scoreOf(tier, load) : null,
    candidates: eligible,
    candidates_up: up,
    panic
  }
}

export const openConnection = (record: ConnectionRecord, conn: string): RecordedConnection => ({
  conn,
  state: "open",
  client: record.client.address,
  client_port: record.clientPort,
  peer: record.announced === undefined ? null : formatEndpoint(record.announced.peer),
  country: record.geo.country ?? null,
  region: record.geo.region ?? null,
  app: record.app ?? null,
  sni: record.sni ?? null,
  listener: record.listener.address,
  attempts: record.attempts,
  failures: record.failures,
  decision: decisionOf(record.route?.decision),
  connect_ms: record.connectUs === undefined ? null : record.connectUs / 1_000,
  trace_id: record.trace?.span.traceId ?? null,
  end: null
})

export const endedConnection = ({ decision, entry, failures }: PastConnection): RecordedConnection => ({
  conn: entry.conn,
  state: "ended",
  client: entry.client,
  client_port: entry.client_port,
  peer: entry.peer,
  country: entry.country,
  region: entry.region,
  app: entry.app === "" ? null : entry.app,
  sni: entry.sni,
  listener: entry.listener,
  attempts: entry.attempts,
  failures,
  decision: decisionOf(decision),
  connect_ms: entry.connect_ms,
  trace_id: entry.trace_id ?? null,
  end: {
    ts: entry.ts,
    by: entry.end_by,
    phase: entry.end_phase,
    cause: entry.end_cause,
    duration_ms: entry.duration_ms,
    bytes_in: entry.bytes_in,
    bytes_out: entry.bytes_out
  }
})
