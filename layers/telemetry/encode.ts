import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as HttpBody from "effect/http/HttpBody"
import type { LogsData } from "effect/observability/OtlpLogger"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import type { KeyValue, Resource } from "effect/observability/OtlpResource"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import type { TraceData } from "effect/observability/OtlpTracer"
import type { Attributes, AttributeValue, Span } from "../../src/observe/Span.ts"

const serialization = Effect.runSync(
  Effect.scoped(
    Effect.map(Layer.build(OtlpSerialization.layerProtobuf), Context.get(OtlpSerialization.OtlpSerialization))
  )
)

const bytesOf = (body: HttpBody.HttpBody): Uint8Array => {
  if (body._tag !== "Uint8Array") throw new Error("protobuf is bytes")
  return body.body
}

const valueOf = (value: AttributeValue): KeyValue["value"] => {
  if (typeof value === "string") return { stringValue: value }
  if (typeof value === "boolean") return { boolValue: value }
  return Number.isSafeInteger(value) ? { intValue: value } : { doubleValue: value }
}

export const keyValues = (attributes: Attributes): Array<KeyValue> => {
  const list: Array<KeyValue> = []
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined) list.push({ key, value: valueOf(value) })
  }
  return list
}

export const resourceOf = (attributes: Attributes): Resource => ({
  attributes: keyValues(attributes),
  droppedAttributesCount: 0
})

/** Of milliseconds; the clocks have microseconds. */
export const nanos = (ms: number): string => `${Math.round(ms * 1_000)}000`

const kinds = { internal: 1, server: 2, client: 3 } as const
const UNSET = 0
const ERROR = 2

type OtlpSpan = TraceData["resourceSpans"][number]["scopeSpans"][number]["spans"][number]

const spanOf = (span: Span): OtlpSpan => ({
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId,
  name: span.name,
  kind: kinds[span.kind],
  startTimeUnixNano: nanos(span.startMs),
  endTimeUnixNano: nanos(span.endMs),
  attributes: keyValues(span.attributes),
  droppedAttributesCount: 0,
  events: [],
  droppedEventsCount: 0,
  status: { code: span.failed ? ERROR : UNSET },
  links: [],
  droppedLinksCount: 0
})

export interface Origin {
  readonly resource: Resource
  readonly version: string
}

const scopeOf = ({ version }: Origin) => ({ name: "edgeproxy", version })

export const encodeSpans = (origin: Origin, spans: ReadonlyArray<Span>): Uint8Array =>
  bytesOf(
    serialization.traces({
      resourceSpans: [{ resource: origin.resource, scopeSpans: [{ scope: scopeOf(origin), spans: spans.map(spanOf) }] }]
    })
  )

export type OtlpMetric = MetricsData["resourceMetrics"][number]["scopeMetrics"][number]["metrics"][number]

export const encodeMetrics = (origin: Origin, metrics: Array<OtlpMetric>): Uint8Array =>
  bytesOf(
    serialization.metrics({
      resourceMetrics: [{ resource: origin.resource, scopeMetrics: [{ scope: scopeOf(origin), metrics }] }]
    })
  )

/** A line of the diagnostic log. */
export interface LogRecord {
  readonly atMs: number
  readonly level: string
  readonly message: string
  readonly attributes: Attributes
}

/** SeverityNumber of the log data model. */
const severities: Readonly<Record<string, 1 | 5 | 9 | 13 | 17 | 21>> = {
  TRACE: 1,
  DEBUG: 5,
  INFO: 9,
  WARN: 13,
  ERROR: 17,
  FATAL: 21
}

export const encodeLogs = (origin: Origin, records: ReadonlyArray<LogRecord>): Uint8Array => {
  const logRecords = records.map(({ atMs, attributes, level, message }) => ({
    timeUnixNano: nanos(atMs),
    observedTimeUnixNano: nanos(atMs),
    severityNumber: severities[level] ?? 9,
    severityText: level,
    body: { stringValue: message },
    attributes: keyValues(attributes),
    droppedAttributesCount: 0
  }))
  const data: LogsData = {
    resourceLogs: [{ resource: origin.resource, scopeLogs: [{ scope: scopeOf(origin), logRecords }] }]
  }
  return bytesOf(serialization.logs(data))
}
