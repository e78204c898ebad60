import * as Effect from "effect/Effect"
import { type Collector, counter, gauge } from "./Metric.ts"
import { signals, Telemetry } from "./Telemetry.ts"

const exported = counter("edgeproxy_telemetry_exported_total", "Items that the OTLP collector has taken, by signal.")
const dropped = counter(
  "edgeproxy_telemetry_dropped_total",
  "Items lost: no room in the queue (full), refused by the collector (rejected), or not delivered in time (unreachable)."
)
const waiting = gauge("edgeproxy_telemetry_queue", "Items that wait to be exported.")
const failures = counter("edgeproxy_telemetry_request_failures_total", "Requests to the OTLP collector that failed.")

/** How the export fares; nothing while there is none. */
export const telemetryMetrics = Effect.map(Telemetry, (telemetry): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      if (telemetry === undefined) return
      for (const signal of signals) {
        const counts = telemetry.counts(signal)
        const labels = { signal }
        sink.sample(exported, labels, counts.exported)
        for (const [reason, count] of Object.entries(counts.dropped)) sink.sample(dropped, { signal, reason }, count)
        sink.sample(waiting, labels, counts.waiting)
        sink.sample(failures, labels, counts.failedRequests)
      }
    })
}))
