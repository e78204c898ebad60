import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { accessRecord } from "../../layers/telemetry/accessRecord.ts"
import { encodeLogs, encodeSpans, type Reading } from "../../layers/telemetry/encode.ts"
import * as encode from "../../layers/telemetry/encode.ts"
import * as MetricsBatch from "../../layers/telemetry/MetricsBatch.ts"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import { counter, gauge, histogram } from "../../src/observe/Metric.ts"
import type { Span } from "../../src/observe/Span.ts"
import { oneOf } from "../support/arbitraries.ts"
import { logsOf, pointsOf, spansOf } from "../support/otlpReceiver.ts"

const origin = { resource: { "service.name": "edge", "edgeproxy.pop": "gru1" }, version: "1.2.3" }

// Lengths that take one byte to say, two, and three.
const text = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.String), oneOf([0, 1, 50, 200, 20_000])]),
  ([text, times]) => `${text.toWellFormed()}x`.repeat(times)
)
const number = Arbitrary.schema(Schema.Finite)
const integer = Arbitrary.schema(Schema.Int)
const time = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4e12 }))

const spans = Arbitrary.array(
  Arbitrary.map(
    Arbitrary.all({
      name: text,
      at: Arbitrary.schema(time),
      text,
      number,
      integer,
      flag: Arbitrary.schema(Schema.Boolean)
    }),
    ({ at, flag, integer, name, number, text }): Span => ({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      parentSpanId: flag ? "00f067aa0ba902b7" : undefined,
      name,
      kind: flag ? "server" : "client",
      startMs: at,
      endMs: at + 0.125,
      failed: flag,
      attributes: { text, number, integer, flag, none: undefined }
    })
  )
)

describe("what is exported", () => {
  it.prop("spans are read by OpenTelemetry's own decoder as they were", [spans], ([spans]) => {
    const read = spansOf(Buffer.from(encodeSpans(origin, spans)))
    assert.deepStrictEqual(
      read,
      spans.map(({ attributes, ...span }) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? "",
        name: span.name,
        kind: span.kind === "server" ? 2 : 3,
        startNanos: BigInt(span.startMs) * 1_000_000n,
        endNanos: BigInt(span.startMs) * 1_000_000n + 125_000n,
        failed: span.failed,
        // A number is an integer or not, whatever its sign of nothing.
        attributes: Object.fromEntries(
          Object.entries(attributes)
            .filter(([, value]) => value !== undefined)
            .map(([name, value]) => [name, value === 0 ? 0 : value])
        ) as (typeof read)[number]["attributes"],
        resource: origin.resource
      }))
    )
  })

  it("metrics have their kinds, units, labels and buckets, in pieces of at most 500", () => {
    const pieces: Array<ReturnType<typeof pointsOf>> = []
    const batch = MetricsBatch.make({
      startedAtMs: 1_000,
      nowMs: 2_000,
      take: (piece: Reading) => void pieces.push(pointsOf(Buffer.from(encode.encodeMetrics(origin, piece))))
    })
    const [total, level] = [counter("a_bytes_total", "Of a."), gauge("b", "Now.")]
    const seconds = histogram("c_seconds", "Time.", [0.5, 1])
    for (let at = 0; at < 400; at++) batch.sample(total, { at: `${at}` }, at / 2)
    for (let at = 0; at < 400; at++) batch.sample(level, { at: `${at}` }, -at)
    batch.histogram(seconds, { at: "x" }, [3, 0, 2, 9.5])
    batch.finish()
    batch.finish()
    assert.deepStrictEqual(
      pieces.map(({ length }) => length),
      [500, 301]
    )
    const points = pieces.flat()
    const find = (name: string, at: string) =>
      points.find((point) => point.name === name && point.attributes["at"] === at)
    assert.deepInclude(find("a_bytes_total", "7"), { kind: "sum", unit: "By", value: 3.5 })
    assert.deepInclude(find("b", "399"), { kind: "gauge", unit: "1", value: -399 })
    assert.deepInclude(find("c_seconds", "x"), { kind: "histogram", unit: "s", value: 5, buckets: [3, 0, 2], sum: 9.5 })
  })

  it("log lines have their level, text and fields", () => {
    const record = { atMs: 1_000, level: "WARN", message: "source lost: é", attributes: { rows: 3, id: "b1" } }
    const [read] = logsOf(Buffer.from(encodeLogs(origin, [record])))
    assert.deepStrictEqual(read, {
      severity: 13,
      body: "source lost: é",
      attributes: { rows: 3, id: "b1" },
      traceId: ""
    })
  })

  it("a line of the access log has the names that spans have, and its trace", () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c"
    const entry: AccessEntry = {
      ts: "2026-11-21T04:50:44.131Z",
      conn: "boot-1",
      pop: "p",
      client: "2001:db8::1",
      client_port: 50_000,
      peer: null,
      country: null,
      region: null,
      app: "",
      listener: "[::]:80",
      sni: null,
      backend: "b1",
      backend_addr: "10.0.0.1:80",
      tier: 0,
      affinity: "new",
      attempts: 1,
      connect_ms: 0.5,
      duration_ms: 2,
      bytes_in: 3,
      bytes_out: 4,
      end_by: "client",
      end_phase: "relay",
      end_cause: "rst",
      trace_id: traceId
    }
    const [read] = logsOf(Buffer.from(encodeLogs(origin, [accessRecord(entry)])))
    assert.deepInclude(read, { severity: 9, body: "connection ended", traceId })
    assert.deepInclude(read?.attributes, {
      "client.address": "2001:db8::1",
      "client.port": 50_000,
      "edgeproxy.backend": "b1",
      "edgeproxy.end_cause": "rst"
    })
    for (const absent of ["edgeproxy.sni", "edgeproxy.ts", "edgeproxy.trace_id"]) {
      assert.notProperty(read?.attributes, absent)
    }
  })
})
