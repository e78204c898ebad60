import * as Effect from "effect/Effect"
import { monotonicMs } from "../actor/Monotonic.ts"
import type * as schemas from "../api/schemas.ts"
import type { BackendEntry, ConnectionEntry, RunningEdge } from "./EdgeApi.ts"

/** Connections and backends that are looked at, whatever there are: two pages and one. */
export const MOST_CONNECTIONS = 2_000
export const MOST_BACKENDS = 1_000

const PAGE = 1_000

/** Bytes per second since the snapshot before. */
interface Rates {
  readonly inRate: number
  readonly outRate: number
}

export type TopConnection = ConnectionEntry & Rates

/** A backend in use; its rates are those of the connections that were looked at. */
export type TopBackend = Exclude<BackendEntry, { readonly state: "quarantined" }> & Rates

export interface TopSnapshot {
  /** Monotonic milliseconds. */
  readonly at: number
  readonly health: typeof schemas.Health.Type
  readonly ready: typeof schemas.Ready.Type | typeof schemas.NotReady.Type
  readonly connections: ReadonlyArray<TopConnection>
  /** How many there are. */
  readonly connectionsTotal: number
  readonly backends: ReadonlyArray<TopBackend>
  readonly backendsTotal: number
}

const readConnections = Effect.fnUntraced(function* (edge: RunningEdge) {
  const connections: Array<ConnectionEntry> = []
  let after: string | undefined
  while (true) {
    const page = yield* edge.connections({ after, limit: PAGE })
    connections.push(...page.connections)
    after = page.next
    if (after === undefined || connections.length >= MOST_CONNECTIONS) return { connections, total: page.total }
  }
})

/** Reads everything once; rates are those since `before`, and zero without it. */
export const takeSnapshot = Effect.fnUntraced(function* (edge: RunningEdge, before: TopSnapshot | undefined) {
  const now = yield* monotonicMs
  const [health, ready, found, listed] = yield* Effect.all(
    [
      edge.health,
      edge.ready,
      readConnections(edge),
      edge.backends({ after: undefined, limit: MOST_BACKENDS, app: undefined, state: undefined })
    ],
    { concurrency: "unbounded" }
  )
  const at = now()
  const seconds = before === undefined ? Infinity : Math.max(0.001, (at - before.at) / 1_000)
  const known = new Map(before?.connections.map((connection) => [connection.id, connection]))
  const byBackend = new Map<string, { inRate: number; outRate: number }>()
  const connections = found.connections.map((connection): TopConnection => {
    const last = known.get(connection.id)
    // One that is new has carried all of it since.
    const inRate = Math.max(0, connection.bytes_in - (last?.bytes_in ?? 0)) / seconds
    const outRate = Math.max(0, connection.bytes_out - (last?.bytes_out ?? 0)) / seconds
    if (connection.backend !== null) {
      const sum = byBackend.get(connection.backend) ?? { inRate: 0, outRate: 0 }
      byBackend.set(connection.backend, { inRate: sum.inRate + inRate, outRate: sum.outRate + outRate })
    }
    return { ...connection, inRate, outRate }
  })
  const backends = listed.backends.flatMap((backend) =>
    backend.state === "quarantined" ? [] : [{ ...backend, ...(byBackend.get(backend.id) ?? { inRate: 0, outRate: 0 }) }]
  )
  const snapshot: TopSnapshot = {
    at,
    health,
    ready,
    connections,
    connectionsTotal: found.total,
    backends,
    backendsTotal: listed.total
  }
  return snapshot
})
