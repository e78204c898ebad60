import type { AccessEntry } from "../observe/AccessLog.ts"
import type { ConnectionRecord } from "./Connections.ts"
import { type Ended, formatEndpoint } from "./Transport.ts"

/** What the log needs besides the record and its end. */
export interface EntryContext {
  readonly pop: string
  /** Makes connection numbers unique over restarts. */
  readonly bootId: string
  /** Wall clock, milliseconds. */
  readonly endedAt: number
  readonly durationMs: number
}

const traceOf = ({ trace }: ConnectionRecord) => (trace === undefined ? {} : { trace_id: trace.span.traceId })

const round = (ms: number): number => Math.round(ms * 1_000) / 1_000

export const connectionName = (bootId: string, id: number): string => `${bootId}-${id.toString(36)}`

/** The log line of an ended connection (C6). */
export const accessEntry = (record: ConnectionRecord, ended: Ended, context: EntryContext): AccessEntry => {
  const { route } = record
  const backend = route?.lease.upstream.backend
  return {
    ts: new Date(context.endedAt).toISOString(),
    conn: connectionName(context.bootId, record.id),
    pop: context.pop,
    client: record.client.address,
    client_port: record.clientPort,
    peer: record.announced === undefined ? null : formatEndpoint(record.announced.peer),
    country: record.geo.country ?? null,
    region: record.geo.region ?? null,
    app: record.app ?? "",
    listener: record.listener.address,
    sni: record.sni ?? null,
    backend: backend?.id ?? null,
    backend_addr: backend === undefined ? null : formatEndpoint(backend),
    tier: route?.tier ?? null,
    affinity: route?.affinity ?? null,
    attempts: record.attempts,
    connect_ms: record.connectUs === undefined ? null : record.connectUs / 1_000,
    duration_ms: round(context.durationMs),
    bytes_in: ended.bytesIn,
    bytes_out: ended.bytesOut,
    end_by: ended.by,
    end_phase: ended.phase,
    end_cause: ended.cause,
    ...traceOf(record)
  }
}
