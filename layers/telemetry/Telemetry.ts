import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { Sampler } from "../../src/domain/TraceContext.ts"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import type { Collector as MetricsCollector } from "../../src/observe/Metric.ts"
import type { Attributes, Span } from "../../src/observe/Span.ts"
import { type Signal, Telemetry } from "../../src/observe/Telemetry.ts"
import * as Tracing from "../../src/observe/Tracing.ts"
import { maskUserInfo } from "../../src/config/Codec.ts"
import { accessRecord } from "./accessRecord.ts"
import { encodeLogs, encodeMetrics, encodeSpans, type LogRecord, type Origin } from "./encode.ts"
import * as Exporter from "./Exporter.ts"
import * as MetricsBatch from "./MetricsBatch.ts"
import * as otlpLogger from "./otlpLogger.ts"
import { type Collector, connect } from "./post.ts"

export interface TelemetryOptions {
  /** Base URL of the collector. */
  readonly endpoint: string
  readonly headers: Redacted.Redacted<ReadonlyArray<readonly [name: string, value: string]>> | undefined
  readonly resource: Attributes
  readonly version: string
  readonly sampler: Sampler
  readonly showsClients: boolean
}

/** Spans that may wait: a second of a busy proxy with everything sampled. */
const MAX_SPANS = 4_096
const MAX_LOGS = 4_096
/** Pieces of readings: those of some ten thousand backends. */
const MAX_PIECES = 512

const CLOSE_MS = 3_000

const make = Effect.fnUntraced(function* (options: TelemetryOptions) {
  const headers = Object.fromEntries(options.headers === undefined ? [] : Redacted.value(options.headers))
  const collector: Collector = yield* Effect.acquireRelease(
    Effect.sync(() => connect(options.endpoint, headers)),
    (collector) => Effect.sync(collector.close)
  )
  const origin: Origin = { resource: options.resource, version: options.version }
  const endpoint = maskUserInfo(options.endpoint)

  const common = (signal: Signal) => ({
    signal,
    collector,
    closeMs: CLOSE_MS,
    tell: (state: "lost" | "back", why: string) =>
      state === "lost"
        ? Effect.logWarning("telemetry does not reach the collector", { signal, endpoint, why })
        : Effect.logInfo("telemetry reaches the collector again", { signal, endpoint })
  })

  // They end side by side, so that the end takes no longer than one of them.
  const exporting = Scope.provide(yield* Scope.fork(yield* Effect.scope, "parallel"))

  const traces = yield* Exporter.make<Span>({
    ...common("traces"),
    encode: (spans) => encodeSpans(origin, spans),
    capacity: MAX_SPANS,
    batch: 128,
    gatherMs: 2_000
  }).pipe(exporting)
  const logs = yield* Exporter.make<LogRecord>({
    ...common("logs"),
    encode: (records) => encodeLogs(origin, records),
    capacity: MAX_LOGS,
    batch: 128,
    gatherMs: 1_000
  }).pipe(exporting)
  // A reading becomes bytes while it is made: as objects that of a large table would take ten times the room.
  const metrics = yield* Exporter.make<Uint8Array>({
    ...common("metrics"),
    encode: ([piece]) => piece ?? new Uint8Array(),
    capacity: MAX_PIECES,
    batch: 1,
    gatherMs: 0
  }).pipe(exporting)

  const startedAtMs = yield* Clock.currentTimeMillis
  const read = Effect.fnUntraced(function* (collectors: ReadonlyArray<MetricsCollector>) {
    const nowMs = yield* Clock.currentTimeMillis
    const batch = MetricsBatch.make({
      startedAtMs,
      nowMs,
      take: (piece) => metrics.push(encodeMetrics(origin, piece))
    })
    for (const { refresh } of collectors) if (refresh !== undefined) yield* refresh
    for (const { collect } of collectors) yield* collect(batch)
    batch.finish()
  })

  const tracer = yield* Tracing.make({
    sampler: options.sampler,
    showsClients: options.showsClients,
    take: traces.push
  })
  const exporters = { traces, metrics, logs }

  yield* Effect.logInfo("telemetry", { endpoint }).pipe(Effect.annotateLogs({ service: "telemetry" }))

  return {
    tracer,
    telemetry: {
      counts: (signal: Signal) => exporters[signal].counts(),
      read,
      logAccess: (entry: AccessEntry) => logs.push(accessRecord(entry))
    },
    logger: otlpLogger.make(logs.push)
  }
})

/** Traces, metrics and logs to a collector, by OTLP over HTTP in protobuf. Losing it costs what it would have got. */
export const layer = (options: TelemetryOptions): Layer.Layer<never> =>
  Layer.unwrap(
    Effect.map(make(options), ({ logger, telemetry, tracer }) =>
      Layer.mergeAll(
        Layer.succeed(Tracing.Tracing, tracer),
        Layer.succeed(Telemetry, telemetry),
        Logger.layer([logger], { mergeWithExisting: true })
      )
    )
  )
