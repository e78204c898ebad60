import type { Histogram, Labels, Plain } from "../../src/observe/Metric.ts"
import type { Attributes, AttributeValue, Span } from "../../src/observe/Span.ts"
import * as Protobuf from "./Protobuf.ts"

/** Who tells: the resource, and the instrumentation's version. */
export interface Origin {
  readonly resource: Attributes
  readonly version: string
}

/** A line of a log. */
export interface LogRecord {
  readonly atMs: number
  readonly level: string
  readonly message: string
  readonly attributes: Attributes
  /** Of the trace that it belongs to. */
  readonly traceId?: string | undefined
}

export type PlainSeries = readonly [metric: Plain, points: ReadonlyArray<readonly [labels: Labels, value: number]>]

export type HistogramSeries = readonly [
  metric: Histogram,
  points: ReadonlyArray<readonly [labels: Labels, cells: ArrayLike<number>]>
]

/** A part of a reading. */
export interface Reading {
  readonly startedAtMs: number
  readonly nowMs: number
  readonly plain: Iterable<PlainSeries>
  readonly histograms: Iterable<HistogramSeries>
}

// Numbers of fields are those of opentelemetry-proto 1.5: common, resource, trace, metrics and logs v1.

/** One for all: what is written is copied out, and nothing waits in between. */
const out = Protobuf.make()

/** Of milliseconds; the clocks have microseconds. */
const nanos = (ms: number): bigint => BigInt(Math.round(ms * 1_000)) * 1_000n

const writeValue = (value: AttributeValue): void => {
  if (typeof value === "string") out.text(1, value)
  else if (typeof value === "boolean") out.varint(2, value ? 1 : 0)
  else if (Number.isSafeInteger(value) && value >= 0) out.varint(3, value)
  else out.double(4, value)
}

const writeAttributes = (field: number, attributes: Attributes): void => {
  for (const key in attributes) {
    const value = attributes[key]
    if (value === undefined) continue
    out.message(field, () => {
      out.text(1, key)
      out.message(2, () => writeValue(value))
    })
  }
}

/** The frame that all three signals have: resource, scope, and what `fill` writes as fields 2. */
const framed = ({ resource, version }: Origin, fill: () => void): Uint8Array => {
  out.message(1, () => {
    out.message(1, () => writeAttributes(1, resource))
    out.message(2, () => {
      out.message(1, () => {
        out.text(1, "edgeproxy")
        out.text(2, version)
      })
      fill()
    })
  })
  return out.finish()
}

const kinds = { internal: 1, server: 2, client: 3 } as const
const ERROR = 2

const writeSpan = (span: Span): void => {
  out.hex(1, span.traceId)
  out.hex(2, span.spanId)
  if (span.parentSpanId !== undefined) out.hex(4, span.parentSpanId)
  out.text(5, span.name)
  out.varint(6, kinds[span.kind])
  out.fixed64(7, nanos(span.startMs))
  out.fixed64(8, nanos(span.endMs))
  writeAttributes(9, span.attributes)
  if (span.failed) out.message(15, () => out.varint(3, ERROR))
}

export const encodeSpans = (origin: Origin, spans: ReadonlyArray<Span>): Uint8Array =>
  framed(origin, () => {
    for (const span of spans) out.message(2, () => writeSpan(span))
  })

/** SeverityNumber of the log data model. */
const severities: Readonly<Record<string, number>> = { TRACE: 1, DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17, FATAL: 21 }

export const encodeLogs = (origin: Origin, records: ReadonlyArray<LogRecord>): Uint8Array =>
  framed(origin, () => {
    for (const { atMs, attributes, level, message, traceId } of records) {
      out.message(2, () => {
        out.fixed64(1, nanos(atMs))
        out.varint(2, severities[level] ?? 9)
        out.text(3, level)
        out.message(5, () => out.text(1, message))
        writeAttributes(6, attributes)
        if (traceId !== undefined) out.hex(9, traceId)
        out.fixed64(11, nanos(atMs))
      })
    }
  })

const CUMULATIVE = 2

const units: ReadonlyArray<readonly [suffix: RegExp, unit: string]> = [
  [/_seconds(_total)?$/, "s"],
  [/_bytes(_total)?$/, "By"]
]

const writeDescription = ({ help, name }: Plain | Histogram): void => {
  out.text(1, name)
  out.text(2, help)
  out.text(3, units.find(([suffix]) => suffix.test(name))?.[1] ?? "1")
}

const writeTimes = (start: bigint, now: bigint): void => {
  out.fixed64(2, start)
  out.fixed64(3, now)
}

const writePlain = ([metric, points]: PlainSeries, start: bigint, now: bigint): void => {
  writeDescription(metric)
  const isCounter = metric.type === "counter"
  out.message(isCounter ? 7 : 5, () => {
    for (const [labels, value] of points) {
      out.message(1, () => {
        writeTimes(start, now)
        out.double(4, value)
        writeAttributes(7, labels)
      })
    }
    if (!isCounter) return
    out.varint(2, CUMULATIVE)
    out.varint(3, 1)
  })
}

const writeHistogram = ([metric, points]: HistogramSeries, start: bigint, now: bigint): void => {
  writeDescription(metric)
  const buckets = metric.bounds.length + 1
  out.message(9, () => {
    for (const [labels, cells] of points) {
      out.message(1, () => {
        writeTimes(start, now)
        let count = 0
        for (let bucket = 0; bucket < buckets; bucket++) count += cells[bucket] ?? 0
        out.fixed64(4, BigInt(count))
        out.double(5, cells[buckets] ?? 0)
        out.message(6, () => {
          for (let bucket = 0; bucket < buckets; bucket++) out.bareFixed64(BigInt(cells[bucket] ?? 0))
        })
        out.message(7, () => metric.bounds.forEach(out.bareDouble))
        writeAttributes(9, labels)
      })
    }
    out.varint(2, CUMULATIVE)
  })
}

export const encodeMetrics = (origin: Origin, { histograms, nowMs, plain, startedAtMs }: Reading): Uint8Array =>
  framed(origin, () => {
    const [start, now] = [nanos(startedAtMs), nanos(nowMs)]
    for (const series of plain) out.message(2, () => writePlain(series, start, now))
    for (const series of histograms) out.message(2, () => writeHistogram(series, start, now))
  })
