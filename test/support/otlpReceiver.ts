import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import root from "@opentelemetry/otlp-transformer/build/src/generated/root.js"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Watch from "./Watch.ts"

interface AnyValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly intValue?: string
  readonly doubleValue?: number
}

interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

interface Resource {
  readonly attributes?: ReadonlyArray<KeyValue>
}

interface NumberPoint {
  readonly attributes?: ReadonlyArray<KeyValue>
  readonly asDouble: number
}

interface HistogramPoint {
  readonly attributes?: ReadonlyArray<KeyValue>
  readonly bucketCounts: ReadonlyArray<string>
  readonly count: string
  readonly sum: number
}

/** What the messages look like once they are plain objects: 64-bit numbers as text. */
interface Messages {
  readonly trace: {
    readonly resourceSpans?: ReadonlyArray<{
      readonly resource?: Resource
      readonly scopeSpans?: ReadonlyArray<{
        readonly spans?: ReadonlyArray<{
          readonly traceId: Uint8Array
          readonly spanId: Uint8Array
          readonly parentSpanId?: Uint8Array
          readonly name: string
          readonly kind: number
          readonly startTimeUnixNano: string
          readonly endTimeUnixNano: string
          readonly status?: { readonly code?: number }
          readonly attributes?: ReadonlyArray<KeyValue>
        }>
      }>
    }>
  }
  readonly metrics: {
    readonly resourceMetrics?: ReadonlyArray<{
      readonly scopeMetrics?: ReadonlyArray<{
        readonly metrics?: ReadonlyArray<{
          readonly name: string
          readonly unit: string
          readonly sum?: { readonly dataPoints: ReadonlyArray<NumberPoint> }
          readonly gauge?: { readonly dataPoints: ReadonlyArray<NumberPoint> }
          readonly histogram?: { readonly dataPoints: ReadonlyArray<HistogramPoint> }
        }>
      }>
    }>
  }
  readonly logs: {
    readonly resourceLogs?: ReadonlyArray<{
      readonly scopeLogs?: ReadonlyArray<{
        readonly logRecords?: ReadonlyArray<{
          readonly severityNumber?: number
          readonly body?: AnyValue
          readonly attributes?: ReadonlyArray<KeyValue>
          readonly traceId?: Uint8Array
        }>
      }>
    }>
  }
}

interface Type<Message> {
  readonly decode: (bytes: Uint8Array) => unknown
  readonly toObject: (message: unknown, options: { readonly longs: StringConstructor }) => Message
}

/** The library's own types call it a root of messages, and do not say of which. */
const { collector } = (
  root as unknown as {
    readonly opentelemetry: {
      readonly proto: {
        readonly collector: {
          readonly trace: { readonly v1: { readonly ExportTraceServiceRequest: Type<Messages["trace"]> } }
          readonly metrics: { readonly v1: { readonly ExportMetricsServiceRequest: Type<Messages["metrics"]> } }
          readonly logs: { readonly v1: { readonly ExportLogsServiceRequest: Type<Messages["logs"]> } }
        }
      }
    }
  }
).opentelemetry.proto

const decode = <Message>(type: Type<Message>, body: Buffer): Message =>
  type.toObject(type.decode(body), { longs: String })

export type Value = string | number | boolean

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly kind: number
  readonly startNanos: bigint
  readonly endNanos: bigint
  readonly failed: boolean
  readonly attributes: Readonly<Record<string, Value>>
  readonly resource: Readonly<Record<string, Value>>
}

export interface ReceivedPoint {
  readonly name: string
  readonly unit: string
  readonly kind: "sum" | "gauge" | "histogram"
  readonly attributes: Readonly<Record<string, Value>>
  /** Of a histogram the count. */
  readonly value: number
  readonly buckets: ReadonlyArray<number>
  readonly sum: number
}

export interface ReceivedLog {
  readonly severity: number
  readonly body: string
  readonly attributes: Readonly<Record<string, Value>>
  /** Empty: none. */
  readonly traceId: string
}

export interface Request {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly bytes: number
}

/** A collector: what it got, as the library of OpenTelemetry reads it. */
export interface Receiver {
  readonly url: string
  readonly requests: ReadonlyArray<Request>
  readonly spans: ReadonlyArray<ReceivedSpan>
  readonly points: ReadonlyArray<ReceivedPoint>
  readonly logs: ReadonlyArray<ReceivedLog>
  readonly until: <A>(what: string, look: () => A | undefined | false) => Effect.Effect<A>
}

const valueOf = (value: AnyValue | undefined): Value =>
  value?.stringValue ?? value?.boolValue ?? value?.doubleValue ?? Number(value?.intValue)

const attributesOf = (list: ReadonlyArray<KeyValue> = []): Readonly<Record<string, Value>> =>
  Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]))

const hexOf = (id: Uint8Array = new Uint8Array()): string => Buffer.from(id).toString("hex")

export const spansOf = (body: Buffer): ReadonlyArray<ReceivedSpan> => {
  const { resourceSpans } = decode(collector.trace.v1.ExportTraceServiceRequest, body)
  return (resourceSpans ?? []).flatMap(({ resource, scopeSpans }) =>
    (scopeSpans ?? []).flatMap(({ spans }) =>
      (spans ?? []).map((span) => ({
        traceId: hexOf(span.traceId),
        spanId: hexOf(span.spanId),
        parentSpanId: hexOf(span.parentSpanId),
        name: span.name,
        kind: span.kind,
        startNanos: BigInt(span.startTimeUnixNano),
        endNanos: BigInt(span.endTimeUnixNano),
        failed: span.status?.code === 2,
        attributes: attributesOf(span.attributes),
        resource: attributesOf(resource?.attributes)
      }))
    )
  )
}

export const pointsOf = (body: Buffer): ReadonlyArray<ReceivedPoint> => {
  const { resourceMetrics } = decode(collector.metrics.v1.ExportMetricsServiceRequest, body)
  return (resourceMetrics ?? []).flatMap(({ scopeMetrics }) =>
    (scopeMetrics ?? []).flatMap(({ metrics }) =>
      (metrics ?? []).flatMap(({ gauge, histogram, name, sum, unit }) => {
        const kind = sum ? ("sum" as const) : gauge ? ("gauge" as const) : ("histogram" as const)
        const described = { name, unit, kind }
        const numbers = (sum ?? gauge)?.dataPoints ?? []
        return [
          ...numbers.map(({ asDouble, attributes }) => ({
            ...described,
            attributes: attributesOf(attributes),
            value: asDouble,
            buckets: [],
            sum: 0
          })),
          ...(histogram?.dataPoints ?? []).map(({ attributes, bucketCounts, count, sum }) => ({
            ...described,
            attributes: attributesOf(attributes),
            value: Number(count),
            buckets: bucketCounts.map(Number),
            sum
          }))
        ]
      })
    )
  )
}

export const logsOf = (body: Buffer): ReadonlyArray<ReceivedLog> => {
  const { resourceLogs } = decode(collector.logs.v1.ExportLogsServiceRequest, body)
  return (resourceLogs ?? []).flatMap(({ scopeLogs }) =>
    (scopeLogs ?? []).flatMap(({ logRecords }) =>
      (logRecords ?? []).map(({ attributes, body, severityNumber, traceId }) => ({
        severity: severityNumber ?? 0,
        body: String(valueOf(body)),
        attributes: attributesOf(attributes),
        traceId: Buffer.from(traceId ?? []).toString("hex")
      }))
    )
  )
}

/** How it answers; undefined: as it should. */
export type Manner = (request: Request, response: http.ServerResponse) => boolean

/** A collector on a free port of loopback. `manner` may answer in another way: then what was sent is not taken. */
export const receive = (manner: Manner = () => false): Effect.Effect<Receiver, never, Scope.Scope> =>
  Effect.gen(function* () {
    const watch = Watch.make()
    const requests: Array<Request> = []
    const spans: Array<ReceivedSpan> = []
    const points: Array<ReceivedPoint> = []
    const logs: Array<ReceivedLog> = []

    const take = (path: string, body: Buffer): void => {
      if (path.endsWith("/v1/traces")) spans.push(...spansOf(body))
      else if (path.endsWith("/v1/metrics")) points.push(...pointsOf(body))
      else if (path.endsWith("/v1/logs")) logs.push(...logsOf(body))
    }

    const server = http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const body = Buffer.concat(chunks)
        const seen = { path: request.url ?? "", headers: request.headers, bytes: body.length }
        requests.push(seen)
        if (!manner(seen, response)) {
          take(seen.path, body)
          response.writeHead(200, { "content-type": "application/x-protobuf" })
          response.end()
        }
        watch.touch()
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    )
    const { port } = server.address() as AddressInfo
    return {
      url: `http://127.0.0.1:${port}`,
      requests,
      spans,
      points,
      logs,
      until: (what, look) =>
        watch.until(
          () => `${what}; ${requests.length} requests, spans ${spans.map(({ name }) => name).join(" ")}`,
          look
        )
    }
  })
