import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, unlinkSync, writeFileSync } from "node:fs"
import { apiOf } from "../support/edgeApi.ts"
import { type Manner, type Receiver, receive, type ReceivedSpan } from "../support/otlpReceiver.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, refusing, serve } from "../support/tcp.ts"
import { greeted, refusalOf, startWith } from "./setup.ts"

const to = ({ url }: Receiver, env: Readonly<Record<string, string>> = {}) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  ...env
})

const SERVER = 2
const CLIENT = 3

const ofTrace = (receiver: Receiver, traceId: string): ReadonlyArray<ReceivedSpan> =>
  receiver.spans.filter((span) => span.traceId === traceId)

describe("OpenTelemetry", () => {
  it.live("O1: a connection is a span; its choice, each of its dials and its relay are children", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const good = yield* serve({ onPeer: greet("good") })
      const nearest = { id: "refuses", region: "sa", country: "BR", wg_ip: refusing.address, port: refusing.port }
      const edge = yield* startWith(
        [nearest, rowOf("good", good, { region: "us" })],
        to(receiver, { OTEL_RESOURCE_ATTRIBUTES: "team=net%2Fops", OTEL_EXPORTER_OTLP_HEADERS: "x-key=s3cr%20et" })
      )
      const { peer } = yield* greeted(edge.address, { from: "127.1.0.1" })
      yield* peer.send("12345")
      yield* peer.awaitText("12345")
      yield* peer.finish
      const [entry] = yield* edge.entryCount(1)
      const traceId = entry?.trace_id ?? ""
      assert.match(traceId, /^[0-9a-f]{32}$/)
      const spans = yield* receiver.until("the spans", () => {
        const found = ofTrace(receiver, traceId)
        return found.length >= 5 && found
      })
      const [connection, route, first, second, relay] = spans
      assert.isDefined(connection)
      assert.deepStrictEqual(
        spans.map(({ failed, kind, name }) => [name, kind, failed]),
        [
          ["connection", SERVER, false],
          ["route", 1, false],
          ["dial", CLIENT, true],
          ["dial", CLIENT, false],
          ["relay", 1, false]
        ]
      )
      assert.isTrue(spans.slice(1).every(({ parentSpanId }) => parentSpanId === connection.spanId))
      assert.strictEqual(connection.parentSpanId, "")
      assert.strictEqual(new Set(spans.map(({ spanId }) => spanId)).size, 5)
      assert.deepStrictEqual(connection.attributes, {
        "network.transport": "tcp",
        "network.type": "ipv4",
        "server.address": "127.0.0.1",
        "server.port": edge.address.port,
        "edgeproxy.conn": entry?.conn ?? "",
        "edgeproxy.country": "BR",
        "edgeproxy.region": "sa",
        "edgeproxy.backend": "good",
        "edgeproxy.tier": 3,
        "edgeproxy.affinity": "new",
        "edgeproxy.attempts": 2,
        "edgeproxy.bytes_in": 5,
        "edgeproxy.bytes_out": 10,
        "edgeproxy.end_by": "client",
        "edgeproxy.end_phase": "relay",
        "edgeproxy.end_cause": "fin"
      })
      assert.deepStrictEqual(
        [route?.attributes["edgeproxy.backend"], first?.attributes["error.type"], first?.attributes["server.port"]],
        ["refuses", "refused", refusing.port]
      )
      assert.deepStrictEqual(
        [second?.attributes["edgeproxy.attempt"], second?.attributes["server.port"], relay?.attributes["error.type"]],
        [2, good.endpoint.port, undefined]
      )
      // One after the other, within the connection.
      let last = connection.startNanos
      for (const { endNanos, startNanos } of spans.slice(1)) {
        assert.isTrue(startNanos >= last && endNanos >= startNanos && endNanos <= connection.endNanos)
        last = startNanos
      }
      const tookMs = Number(connection.endNanos - connection.startNanos) / 1_000_000
      assert.closeTo(tookMs, entry?.duration_ms ?? 0, 5)
      assert.strictEqual(connection.resource["service.name"], "edgeproxy")
      assert.strictEqual(connection.resource["edgeproxy.pop"], "test-pop")
      assert.strictEqual(connection.resource["edgeproxy.region"], "sa")
      assert.strictEqual(connection.resource["team"], "net/ops")
      assert.strictEqual(receiver.requests[0]?.headers["x-key"], "s3cr et")
      assert.notInclude(edge.logs.map((line) => JSON.stringify(line)).join("\n"), "s3cr")
      yield* receiver.until("the table's span", () => receiver.spans.some(({ name }) => name === "table.update"))
    })
  )
})

const nameOf = ({ name }: ReceivedSpan): string => name

describe("spans of what goes on beside the traffic", () => {
  it.live("O1: health and circuits, the source, the API within its caller's trace", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const a = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith(
        [rowOf("a", a), { id: "dead", region: "sa", wg_ip: refusing.address, port: refusing.port }],
        to(receiver, {
          HEALTH_CHECK_ENABLED: "true",
          HEALTH_CHECK_INTERVAL_SECS: "0.2",
          HEALTH_UNHEALTHY_THRESHOLD: "1"
        })
      )
      const down = yield* receiver.until("the health's span", () =>
        receiver.spans.find(({ name }) => name === "health.transition")
      )
      assert.isTrue(down.failed)
      assert.deepInclude(down.attributes, { "edgeproxy.backend": "dead", "edgeproxy.state": "down" })

      const api = yield* apiOf(edge)
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const traceparent = (flags: string) => ({ traceparent: `00-${traceId}-b7ad6b7169203331-${flags}` })
      yield* Effect.promise(() => fetch(`${api.url}/api/v1/backends/a`, { headers: traceparent("01") }))
      yield* Effect.promise(() => fetch(`${api.url}/api/v1/table`, { headers: traceparent("00") }))
      yield* Effect.promise(() => fetch(`${api.url}/nowhere/${"x".repeat(4_000)}?secret=1`))
      const request = yield* receiver.until("the request's span", () => ofTrace(receiver, traceId)[0])
      assert.deepStrictEqual(
        [request.name, request.kind, request.parentSpanId, request.failed],
        ["GET /api/v1/backends/:id", SERVER, "b7ad6b7169203331", false]
      )
      assert.deepStrictEqual(request.attributes, {
        "http.request.method": "GET",
        "http.route": "/api/v1/backends/:id",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/api/v1/backends/a"
      })
      const lost = yield* receiver.until("the span of a request for nothing", () =>
        receiver.spans.find(({ attributes }) => attributes["http.response.status_code"] === 404)
      )
      // Whoever reaches the API chooses the path: thousands of long ones may wait to be exported.
      assert.deepStrictEqual([lost.name, lost.attributes["url.path"]], ["GET", `/nowhere/${"x".repeat(247)}`])

      const kept = readFileSync(edge.database)
      unlinkSync(edge.database)
      yield* edge.log("source lost")
      writeFileSync(edge.database, kept)
      const back = yield* receiver.until("the source's span", () =>
        receiver.spans.find(({ name }) => name === "source.reconnect")
      )
      assert.deepInclude(back.attributes, { "edgeproxy.source": "sqlite", "edgeproxy.reason": "missing" })
      assert.isTrue(back.endNanos > back.startNanos)
      // The caller did not want this one.
      assert.notInclude(receiver.spans.map(nameOf), "GET /api/v1/table")
    })
  )

  it.live("a circuit that opens and closes again is told", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const row = { id: "dead", region: "sa", wg_ip: refusing.address, port: refusing.port }
      const edge = yield* startWith(
        [row],
        to(receiver, { CIRCUIT_BREAKER_ENABLED: "true", CIRCUIT_FAILURE_THRESHOLD: "1" })
      )
      yield* refusalOf(edge.address)
      const span = yield* receiver.until("the circuit's span", () =>
        receiver.spans.find(({ name }) => name === "circuit.transition")
      )
      assert.deepInclude(span.attributes, { "edgeproxy.backend": "dead", "edgeproxy.state": "open" })
    })
  )
})

describe("sampling", () => {
  it.live("none is traced with always_off, and metrics and logs go on", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const a = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", a)], to(receiver, { OTEL_TRACES_SAMPLER: "always_off" }))
      const { peer } = yield* greeted(edge.address)
      yield* peer.finish
      const [entry] = yield* edge.entryCount(1)
      assert.isDefined(entry)
      assert.notProperty(entry, "trace_id")
      assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
      assert.deepStrictEqual(receiver.spans, [])
      const total = receiver.points.find(({ name }) => name === "edgeproxy_backend_connections_total")
      assert.deepInclude(total, { kind: "sum", value: 1 })
      assert.deepStrictEqual(total?.attributes, { backend: "a", app: "test", region: "sa" })
      const time = receiver.points.find(({ name }) => name === "edgeproxy_connect_seconds")
      assert.deepInclude(time, { kind: "histogram", unit: "s", value: 1 })
      assert.strictEqual(
        time?.buckets.reduce((sum, count) => sum + count, 0),
        1
      )
      assert.deepInclude(
        receiver.points.find(({ name }) => name === "edgeproxy_backend_up"),
        { kind: "gauge", value: 1 }
      )
      const last = receiver.logs.at(-1)
      assert.deepStrictEqual([last?.body, last?.severity, last?.attributes], ["drained", 9, { drained: 0, forced: 0 }])
      assert.isTrue(receiver.logs.some(({ body }) => body === "routing table"))
    })
  )
})

describe("the access log to the collector", () => {
  it.live("has all connections, in their traces where they have one, to the last one before the end", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const a = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", a)], to(receiver, { ACCESS_LOG: "otlp" }))
      for (let count = 0; count < 3; count++) {
        const { peer } = yield* greeted(edge.address, { from: "127.1.0.1" })
        yield* peer.finish
        yield* peer.awaitClosed
      }
      assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
      assert.deepStrictEqual(edge.entries, [])
      const lines = receiver.logs.filter(({ body }) => body === "connection ended")
      assert.lengthOf(lines, 3)
      for (const { attributes, traceId } of lines) {
        assert.deepInclude(attributes, {
          "client.address": "127.1.0.1",
          "edgeproxy.backend": "a",
          "edgeproxy.end_by": "client",
          "edgeproxy.end_cause": "fin",
          "edgeproxy.bytes_out": attributes["edgeproxy.bytes_out"]
        })
        const [connection] = ofTrace(receiver, traceId)
        assert.strictEqual(connection?.attributes["edgeproxy.conn"], attributes["edgeproxy.conn"])
      }
    })
  )
})

/** This was its answer. */
const said = (...answer: ReadonlyArray<unknown>): boolean => answer.length > 0

/** Traffic as it is without a collector, and an end within its time. */
const unharmed = Effect.fnUntraced(function* (endpoint: string) {
  const a = yield* serve({ onPeer: greet("a") })
  const edge = yield* startWith([rowOf("a", a)], { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
  for (let count = 0; count < 50; count++) {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { peer } = yield* greeted(edge.address)
        yield* peer.send("ping")
        yield* peer.awaitText("ping")
        yield* peer.finish
      })
    )
  }
  yield* edge.entryCount(50)
  return edge
})

describe("a collector that does harm", () => {
  const manners: ReadonlyArray<readonly [name: string, manner: Manner]> = [
    ["never answers", () => true],
    ["asks for an hour's patience", (_, response) => said(response.writeHead(429, { "retry-after": "3600" }).end())],
    ["refuses everything", (_, response) => said(response.writeHead(400).end("no"))],
    ["answers garbage", (_, { socket }) => said(socket?.end("\u0000\u0001\u0002 what?\r\n\r\n"))],
    ["hangs up", (_, { socket }) => said(socket?.resetAndDestroy())],
    [
      "answers without end",
      (_, response) => {
        response.writeHead(200)
        const more = (): void => {
          while (!response.destroyed && response.write("x".repeat(65_536)));
        }
        response.on("drain", more)
        more()
        return true
      }
    ]
  ]

  it.live.each(manners)("%s: traffic and end are as without it", ([, manner]) =>
    Effect.gen(function* () {
      const receiver = yield* receive(manner)
      const edge = yield* unharmed(receiver.url)
      yield* receiver.until("a request", () => receiver.requests.length > 0)
      const startedAt = performance.now()
      assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
      assert.isBelow(performance.now() - startedAt, 8_000)
      assert.strictEqual(edge.errorText(), "")
      assert.isTrue(edge.logs.every(({ level }) => level !== "error" && level !== "fatal"))
    })
  )

  it.live("is down: it is said once", () =>
    Effect.gen(function* () {
      const edge = yield* unharmed(`http://user:hunter2@${refusing.address}:${refusing.port}`)
      const line = yield* edge.log(({ signal }) => signal === "traces")
      assert.deepInclude(line, { level: "warn", why: "ECONNREFUSED" })
      assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
      assert.strictEqual(edge.logs.filter(({ signal }) => signal === "traces").length, 1)
      assert.notInclude(JSON.stringify(edge.logs), "hunter2")
    })
  )
})
