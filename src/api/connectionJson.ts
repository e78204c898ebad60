import { type ConnectionRecord } from "../traffic/Connections.ts"
import { formatEndpoint, type LiveCounts } from "../traffic/Transport.ts"
import type { Phase } from "../domain/Termination.ts"
import type { Connection } from "./schemas.ts"

/** As at the end of `conn` in the access log. */
export const connectionId = (id: number): string => id.toString(36)

/** Undefined when no connection can be called so. */
export const readConnectionId = (text: string): number | undefined => {
  const id = Number.parseInt(text, 36)
  return Number.isSafeInteger(id) && connectionId(id) === text ? id : undefined
}

/** Where in its life it is. */
export const phaseOf = ({ connectUs, route }: ConnectionRecord): Phase & ("route" | "dial" | "relay") =>
  connectUs !== undefined ? "relay" : route !== undefined ? "dial" : "route"

/** `now` is monotonic. */
export const connectionJson = (
  record: ConnectionRecord,
  counts: Readonly<LiveCounts>,
  now: number
): typeof Connection.Type => {
  const { geo, route } = record
  const backend = route?.lease.upstream.backend
  return {
    id: connectionId(record.id),
    phase: phaseOf(record),
    client: record.client.address,
    client_port: record.clientPort,
    peer: record.announced === undefined ? null : formatEndpoint(record.announced.peer),
    country: geo.country ?? null,
    region: geo.region ?? null,
    app: record.app ?? "",
    listener: record.listener.address,
    sni: record.sni ?? null,
    backend: backend?.id ?? null,
    backend_addr: backend === undefined ? null : formatEndpoint(backend),
    tier: route?.tier ?? null,
    affinity: route?.affinity ?? null,
    attempts: record.attempts,
    connect_ms: record.connectUs === undefined ? null : record.connectUs / 1_000,
    age_ms: Math.max(0, Math.round(now - record.acceptedAt)),
    idle_ms: Math.max(0, Math.round(counts.idleMs)),
    bytes_in: counts.bytesIn,
    bytes_out: counts.bytesOut
  }
}
