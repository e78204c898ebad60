import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import type { Cause, Termination } from "../domain/Termination.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import { DiagnosticLog } from "../observe/DiagnosticLog.ts"
import { cellsOf, type Collector, counter, gauge, histogram, noLabels, type Sink } from "../observe/Metric.ts"
import { Admission } from "./Admission.ts"
import { ClientAdmission } from "./ClientAdmission.ts"
import { Connections } from "./Connections.ts"
import {
  ACCEPTED,
  CONNECT,
  CONNECT_BOUNDS,
  ENDED,
  LIFETIME,
  LIFETIME_BOUNDS,
  type ListenerCounters,
  RECEIVED,
  SENT
} from "./ListenerCounters.ts"
import { Overload, resources } from "./Overload.ts"
import { Shutdown } from "./Shutdown.ts"
import { TrafficCounters } from "./TrafficCounters.ts"

const connections = counter(
  "edgeproxy_connections_total",
  "Client connections that were taken in: those active and those terminated."
)
const active = gauge("edgeproxy_connections_active", "Client connections now.")
const limit = gauge("edgeproxy_connections_limit", "Most client connections at once.")
const paused = gauge(
  "edgeproxy_accepting_paused",
  "1 while nobody is accepted: at the limit of connections, or overloaded."
)
const overloaded = gauge("edgeproxy_overloaded", "1 while the control loop or the memory is over its limit.")
const overloads = counter("edgeproxy_overloads_total", "Times the control loop or the memory went over its limit.")
const draining = gauge("edgeproxy_draining", "1 from the signal that ends the process on.")
const bytesSent = counter("edgeproxy_bytes_sent_total", "Bytes sent to backends, open connections included.")
const bytesReceived = counter(
  "edgeproxy_bytes_received_total",
  "Bytes received from backends, open connections included."
)
const rejected = counter(
  "edgeproxy_rejected_total",
  "Client connections turned away before anything was done for them."
)
const clientsActive = gauge("edgeproxy_clients_active", "Clients that have a connection now (IPv6: /64 networks).")
const forgotten = counter(
  "edgeproxy_rate_limit_forgotten_total",
  "Clients that the rate limit forgot before they had all their tokens back, for want of a place."
)
const acceptErrors = counter("edgeproxy_accept_errors_total", "Times the system refused to accept, by error code.")
const terminations = counter(
  "edgeproxy_terminations_total",
  "Client connections that ended, by who ended them, in which phase, and why."
)
const routed = counter(
  "edgeproxy_routed_total",
  "Dials that a backend answered, by its tier (0: client's country, 1: client's region, 2: this POP's region, 3: any other) and the client's affinity."
)
const dialFailures = counter("edgeproxy_dial_failures_total", "Dials that failed, tried elsewhere or not.")
const handshakes = counter("edgeproxy_tls_handshakes_total", "TLS handshakes with clients, by what came of them.")
const connectTime = histogram(
  "edgeproxy_connect_seconds",
  "Time from accepting a client to its bytes flowing to a backend.",
  CONNECT_BOUNDS
)
const lifetime = histogram("edgeproxy_connection_seconds", "Time from accepting a client to the end.", LIFETIME_BOUNDS)
const linesDropped = counter("edgeproxy_access_log_dropped_total", "Access-log lines lost to a slow reader or disk.")

const diagnosticsDropped = counter(
  "edgeproxy_diagnostic_log_dropped_total",
  "Lines of the diagnostic log lost to a slow reader."
)

/** Those that a sound program can have: they are told from the start, so that the first one shows as an increase. */
const usual: ReadonlyArray<readonly [Termination["by"], Termination["phase"], ReadonlyArray<Cause>]> = [
  ["client", "pre-route", ["tls", "client-cert", "rst"]],
  ["proxy", "pre-route", ["preroute-timeout", "bad-proxy-header", "bad-hello", "unknown-name", "internal"]],
  ["proxy", "route", ["no-backend", "no-capacity"]],
  ["client", "dial", ["rst"]],
  ["backend", "dial", ["refused", "connect-timeout", "unreachable", "rst"]],
  ["proxy", "dial", ["limit", "unreachable"]],
  ["client", "relay", ["fin", "rst", "stall-timeout", "peer-lost"]],
  ["backend", "relay", ["fin", "rst", "stall-timeout", "peer-lost"]],
  ["proxy", "relay", ["idle-timeout", "fin-timeout", "max-age", "engine-lost"]],
  ["proxy", "drain", ["forced"]]
]

const isUsual = ({ by, cause, phase }: Termination): boolean =>
  usual.some(([usualBy, usualPhase, causes]) => by === usualBy && phase === usualPhase && causes.includes(cause))

const collectListener = (sink: Sink, listener: ListenerCounters): void => {
  const { address, app, connectExemplars, lifetimeExemplars, totals } = listener
  const labels = { listener: address, app: app ?? "" }
  const total = (at: number): number => totals[at] ?? 0
  sink.sample(connections, labels, total(ACCEPTED))
  sink.sample(active, labels, total(ACCEPTED) - total(ENDED))
  sink.sample(bytesSent, labels, total(SENT))
  sink.sample(bytesReceived, labels, total(RECEIVED))
  sink.histogram(connectTime, labels, totals.subarray(CONNECT, CONNECT + cellsOf(CONNECT_BOUNDS)), connectExemplars)
  sink.histogram(lifetime, labels, totals.subarray(LIFETIME, LIFETIME + cellsOf(LIFETIME_BOUNDS)), lifetimeExemplars)
}

/** Metrics of listeners and connections. */
export const trafficMetrics = Effect.gen(function* () {
  const open = yield* Connections
  const counters = yield* TrafficCounters
  const admission = yield* Admission
  const clients = yield* ClientAdmission
  const overload = yield* Overload
  const shutdown = yield* Shutdown
  const log = yield* AccessLog
  const diagnostics = yield* DiagnosticLog

  const collector: Collector = {
    refresh: Effect.suspend(() => forEachSliced(open.all(), counters.look)),
    collect: (sink) =>
      Effect.sync(() => {
        for (const listener of counters.listeners) collectListener(sink, listener)
        for (const { by, cause, count, phase } of counters.terminations()) {
          if (count > 0 || isUsual({ by, phase, cause })) sink.sample(terminations, { by, phase, cause }, count)
        }
        for (const { affinity, count, tier } of counters.routed()) {
          sink.sample(routed, { tier: `${tier}`, affinity }, count)
        }
        for (const [reason, count] of counters.rejections) sink.sample(rejected, { reason }, count)
        for (const [code, count] of counters.acceptErrors) sink.sample(acceptErrors, { code }, count)
        for (const [result, count] of counters.handshakes) sink.sample(handshakes, { result }, count)
        for (const [reason, count] of counters.dialFailures) sink.sample(dialFailures, { reason }, count)
        sink.sample(clientsActive, noLabels, clients.clients())
        sink.sample(forgotten, noLabels, clients.forgotten())
        sink.sample(limit, noLabels, admission.limit)
        sink.sample(paused, noLabels, admission.paused() === undefined ? 0 : 1)
        for (const resource of resources) {
          sink.sample(overloaded, { resource }, overload.isOver(resource) ? 1 : 0)
          sink.sample(overloads, { resource }, overload.times(resource))
        }
        sink.sample(draining, noLabels, Deferred.isDoneUnsafe(shutdown.requested) ? 1 : 0)
        sink.sample(linesDropped, noLabels, log.dropped())
        sink.sample(diagnosticsDropped, noLabels, diagnostics.dropped())
      })
  }
  return collector
})
