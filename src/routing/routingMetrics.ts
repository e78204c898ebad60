import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import { type Collector, counter, gauge, histogram, type Labels, noLabels, type Sink } from "../observe/Metric.ts"
import { BIN } from "../observe/Tallies.ts"
import { RTT_BOUNDS } from "./BackendCounters.ts"
import { Bindings } from "./Bindings.ts"
import { RoutingTable } from "./RoutingTable.ts"
import { isEligible, type Upstream } from "./Upstream.ts"
import { Upstreams } from "./Upstreams.ts"

const up = gauge(
  "edgeproxy_backend_up",
  "1 if the backend may take connections: by its row, by checks, and its circuit is not open."
)
const circuitState = gauge("edgeproxy_circuit_state", "0: closed, 1: open, 2: half-open.")
const panic = gauge(
  "edgeproxy_pool_panic",
  "1 while so few backends of the app are up that checks and circuits are ignored. The app * is all of them."
)
const share = gauge(
  "edgeproxy_backend_slow_start_share",
  "Part of its weight that counts while the backend starts slowly."
)
const connectionsActive = gauge(
  "edgeproxy_backend_connections_active",
  "Connections the backend carries now, those being dialled not counted."
)
const dialling = gauge("edgeproxy_backend_connections_dialling", "Connections to the backend that are being opened.")
const softLimit = gauge(
  "edgeproxy_backend_soft_limit",
  "Connections the backend carries with ease; the choice is by the share of it."
)
const hardLimit = gauge("edgeproxy_backend_hard_limit", "Most connections to the backend; absent: no limit.")
const weight = gauge("edgeproxy_backend_weight", "Share of new clients, by its row; 0: its bound clients only.")
const connections = counter("edgeproxy_backend_connections_total", "Connections of clients that the backend took.")
const errors = counter(
  "edgeproxy_backend_errors_total",
  "Dials that failed by the backend's fault, and connections it broke off with a reset, by stalling or by vanishing."
)
const bytesSent = counter("edgeproxy_backend_bytes_sent_total", "Bytes sent to the backend, open connections included.")
const bytesReceived = counter(
  "edgeproxy_backend_bytes_received_total",
  "Bytes received from the backend, open connections included."
)
const rtt = histogram("edgeproxy_backend_rtt_seconds", "Time that successful dials of the backend took.", RTT_BOUNDS)

const tableBackends = gauge(
  "edgeproxy_table_backends",
  "Rows of the routing table by state: up, up but with weight 0, draining, expired for want of heartbeats, down, quarantined for a bad value, or gone while connections still run on it."
)
const tableAge = gauge(
  "edgeproxy_table_age_seconds",
  "Time since the source last confirmed the table that is served; absent until it first has."
)
const tableUpdates = counter("edgeproxy_table_updates_total", "Routing tables that came into force.")
const tableHeld = gauge("edgeproxy_table_held", "1 while an update is held back because it would remove too much.")
const tableStored = gauge("edgeproxy_table_stored", "1 while the stored table is served, for want of a source.")
const eligible = gauge(
  "edgeproxy_pool_backends",
  "Backends that should take new clients of the app. The app * is all of them."
)
const upBackends = gauge("edgeproxy_pool_backends_up", "Those of them of which nothing bad is seen.")
const sourceUp = gauge("edgeproxy_table_source_up", "0 while the source of the table is lost.")
const bindings = gauge(
  "edgeproxy_bindings",
  "Clients bound to a backend, expired ones included until they are collected."
)
const evictions = counter("edgeproxy_binding_evictions_total", "Bindings that went before their time, to make room.")

const circuitStates = { Closed: 0, Open: 1, HalfOpen: 2 } as const

type State = "up" | "weight-zero" | "draining" | "expired" | "down" | "gone"

const stateOf = (upstream: Upstream): State => {
  if (!upstream.listed) return "gone"
  if (upstream.backend.draining) return "draining"
  if (upstream.backend.expired) return "expired"
  if (!upstream.backend.healthy) return "down"
  return upstream.backend.weight > 0 ? "up" : "weight-zero"
}

/** Metrics of the backends, the routing table and the bindings. */
export const routingMetrics = Effect.gen(function* () {
  const upstreams = yield* Upstreams
  const table = yield* RoutingTable
  const clients = yield* Bindings

  const collectBackend = (sink: Sink, upstream: Upstream): void => {
    // Forgotten since the reading began.
    if (upstream.row === BIN) return
    const { backend } = upstream
    const labels: Labels = { backend: backend.id, app: backend.app, region: backend.region }
    const totals = upstreams.counters.totals(upstream.row)
    sink.sample(up, labels, isEligible(upstream, false) ? 1 : 0)
    sink.sample(circuitState, labels, circuitStates[upstream.observed.circuit._tag])
    if (upstream.observed.share < 1) sink.sample(share, labels, upstream.observed.share)
    sink.sample(connectionsActive, labels, upstream.live)
    sink.sample(dialling, labels, upstream.reserved)
    sink.sample(softLimit, labels, backend.softLimit)
    if (backend.hardLimit !== Infinity) sink.sample(hardLimit, labels, backend.hardLimit)
    sink.sample(weight, labels, backend.weight)
    sink.sample(connections, labels, totals.connections)
    sink.sample(errors, labels, totals.errors)
    sink.sample(bytesSent, labels, totals.bytesSent)
    sink.sample(bytesReceived, labels, totals.bytesReceived)
    sink.histogram(rtt, labels, totals.rtt)
  }

  const collect = Effect.fnUntraced(function* (sink: Sink) {
    const states: Record<State, number> = {
      up: 0,
      "weight-zero": 0,
      draining: 0,
      expired: 0,
      down: 0,
      gone: 0
    }
    // A copy: one that is removed and comes back during the reading must not be in it twice.
    yield* forEachSliced(Array.from(upstreams.all()), (upstream) => {
      states[stateOf(upstream)]++
      collectBackend(sink, upstream)
    })
    for (const pool of upstreams.pools()) {
      const labels = { app: pool.app ?? "*" }
      sink.sample(panic, labels, pool.panic ? 1 : 0)
      sink.sample(eligible, labels, pool.eligible)
      sink.sample(upBackends, labels, pool.up)
    }
    const { ageMs, held, lost, origin, quarantined, version } = table.status()
    for (const [state, count] of Object.entries({ ...states, quarantined }))
      sink.sample(tableBackends, { state }, count)
    if (ageMs !== undefined) sink.sample(tableAge, noLabels, ageMs / 1_000)
    sink.sample(tableUpdates, noLabels, version)
    sink.sample(tableHeld, noLabels, held === undefined ? 0 : 1)
    sink.sample(tableStored, noLabels, origin === "snapshot" ? 1 : 0)
    sink.sample(sourceUp, noLabels, lost === undefined ? 1 : 0)
    sink.sample(bindings, noLabels, clients.size())
    sink.sample(evictions, noLabels, clients.evictions())
  })

  const collector: Collector = { collect }
  return collector
})
