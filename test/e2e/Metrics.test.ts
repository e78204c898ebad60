import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { freePort } from "../bench/freePort.ts"
import { type EdgeProcess, spawnEdge, startEdge } from "../support/EdgeProcess.ts"
import { type Exposition, fallen, parse } from "../support/exposition.ts"
import { receive } from "../support/otlpReceiver.ts"
import { checkMetrics, promtool } from "../support/promtool.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, greet, refusing, serve } from "../support/tcp.ts"
import { greeted, refusalOf, startWith } from "./setup.ts"

const on = { METRICS_ENABLED: "true", METRICS_LISTEN_ADDR: "127.0.0.1:0" }

const endpointOf = (edge: EdgeProcess) =>
  Effect.map(edge.log("metrics endpoint"), (line) => {
    const [address = "", port] = String(line["address"]).split(":")
    return { address, port: Number(port) }
  })

const pageOf = Effect.fnUntraced(function* (edge: EdgeProcess, path = "/metrics") {
  const { address, port } = yield* endpointOf(edge)
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://${address}:${port}${path}`)
    return { status: response.status, text: await response.text() }
  })
})

const scrape = (edge: EdgeProcess): Effect.Effect<Exposition> => Effect.map(pageOf(edge), ({ text }) => parse(text))

/** Scrapes until the page shows it: one that was made just before is shown again for half a second. */
const scrapeUntil = Effect.fnUntraced(function* (edge: EdgeProcess, fits: (page: Exposition) => boolean) {
  const deadline = performance.now() + 10_000
  while (true) {
    const page = yield* scrape(edge)
    if (fits(page)) return page
    if (performance.now() > deadline) return yield* Effect.die(new Error("the page does not come to show it"))
    yield* Effect.sleep(50)
  }
})

describe("the metrics endpoint", () => {
  it.live("is off unless it is asked for", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      const edge = yield* startEdge({ env: { METRICS_LISTEN_ADDR: `127.0.0.1:${port}` } })
      assert.strictEqual(yield* refusalOf({ address: "127.0.0.1", port }), "ECONNREFUSED")
      yield* edge.stop
      assert.isFalse(edge.logs.some(({ message }) => message === "metrics endpoint"))
    })
  )

  it.live("M2: shows bytes of open connections within a second, and no counter falls when they end", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("b1", server)], on)
      const labels = { backend: "b1", app: "test", region: "sa" }
      const before = yield* scrape(edge)
      assert.strictEqual(before.value("edgeproxy_backend_bytes_sent_total", labels), 0)
      assert.strictEqual(before.value("edgeproxy_backend_up", labels), 1)
      const { peer } = yield* greeted(edge.address)
      yield* peer.send("x".repeat(1_000))
      yield* peer.awaitBytes(1_002)
      const sentAt = performance.now()
      const open = yield* scrapeUntil(edge, (page) => page.sum("edgeproxy_bytes_sent_total") === 1_000)
      assert.isBelow(performance.now() - sentAt, 1_000)
      assert.strictEqual(open.value("edgeproxy_backend_bytes_received_total", labels), 1_002)
      assert.strictEqual(open.value("edgeproxy_backend_connections_active", labels), 1)
      assert.strictEqual(open.value("edgeproxy_backend_rtt_seconds_count", labels), 1)
      assert.strictEqual(open.value("edgeproxy_connect_seconds_bucket", { le: "+Inf" }), 1)
      yield* peer.finish
      yield* edge.entryCount(1)
      const ended = yield* scrapeUntil(edge, (page) => page.sum("edgeproxy_connections_active") === 0)
      assert.strictEqual(ended.sum("edgeproxy_bytes_sent_total"), 1_000)
      assert.strictEqual(ended.value("edgeproxy_terminations_total", { by: "client", phase: "relay", cause: "fin" }), 1)
      assert.deepStrictEqual([...fallen(before, open), ...fallen(open, ended)], [])
    })
  )

  it.live("as OpenMetrics, for those who ask for it, names the trace of a sampled connection", () =>
    Effect.gen(function* () {
      const receiver = yield* receive()
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("b1", server)], { ...on, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })
      const { peer } = yield* greeted(edge.address)
      yield* peer.finish
      const [entry] = yield* edge.entryCount(1)
      const { address, port } = yield* endpointOf(edge)
      const [text, type] = yield* Effect.promise(async () => {
        const accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"
        const response = await fetch(`http://${address}:${port}/metrics`, { headers: { accept } })
        return [await response.text(), response.headers.get("content-type")] as const
      })
      assert.strictEqual(type, "application/openmetrics-text; version=1.0.0; charset=utf-8")
      assert.isTrue(text.endsWith("\n# EOF\n"))
      assert.match(text, new RegExp(`^edgeproxy_connect_seconds_bucket.* # \\{trace_id="${entry?.trace_id}"\\} `, "m"))
      const plain = yield* pageOf(edge)
      assert.notInclude(plain.text, "trace_id")
      assert.strictEqual(parse(plain.text).sum("edgeproxy_telemetry_dropped_total"), 0)
    })
  )

  it.live("has its path where it was put, and the process and its release", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([], { ...on, METRICS_PATH: "/internal/prom" })
      assert.strictEqual((yield* pageOf(edge)).status, 404)
      const { status, text } = yield* pageOf(edge, "/internal/prom")
      assert.strictEqual(status, 200)
      const page = parse(text)
      assert.strictEqual(page.value("edgeproxy_build_info", { pop: "test-pop", region: "sa" }), 1)
      for (const name of [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "nodejs_heap_used_bytes",
        "edgeproxy_connections_limit",
        "edgeproxy_transport_info",
        "edgeproxy_transport_fds"
      ]) {
        assert.isAbove(page.value(name) ?? 0, 0, name)
      }
      for (const actor of ["routing-table", "source-sqlite", "bindings-gc", "loop-delay"]) {
        assert.strictEqual(page.value("edgeproxy_actor_up", { actor }), 1, actor)
        assert.strictEqual(page.value("edgeproxy_actor_restarts_total", { actor }), 0, actor)
      }
      const startedAt = page.value("process_start_time_seconds") ?? 0
      assert.isBelow(Math.abs(Date.now() / 1_000 - startedAt), 60)
      for (const { sample } of page.series.values()) assert.isTrue(Number.isFinite(sample.value), sample.name)
    })
  )

  it.live.skipIf(promtool === undefined)("M3: promtool check metrics has nothing to say (skips without promtool)", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const rows = [
        rowOf('quo"te', server, { app: "back\\slash" }),
        rowOf("b2", server, { healthy: 0 }),
        { ...rowOf("b3", server), port: "many" }
      ]
      const edge = yield* startWith(rows, on)
      const { peer } = yield* greeted(edge.address)
      yield* peer.finish
      yield* edge.entryCount(1)
      const { text } = yield* pageOf(edge)
      assert.strictEqual(parse(text).value("edgeproxy_backend_up", { backend: 'quo"te', app: "back\\slash" }), 1)
      assert.strictEqual(checkMetrics(promtool ?? "", text), "")
    })
  )

  it.live("a port that is in use ends the start with 1 and the address", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const taken = `127.0.0.1:${endpoint.port}`
      const edge = yield* spawnEdge({ env: { LISTEN_ADDR: "127.0.0.1:0", ...on, METRICS_LISTEN_ADDR: taken } })
      assert.deepStrictEqual(yield* edge.exit, { code: 1, signal: null })
      const last = edge.logs.at(-1)
      assert.strictEqual(last?.level, "fatal")
      assert.include(last?.message, taken)
      assert.include(last?.message, "in use")
    })
  )

  it.live("S3: answers while connections are drained, and is gone with them, whoever still holds on to it", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("b1", server)], on)
      const { peer } = yield* greeted(edge.address)
      const endpoint = yield* endpointOf(edge)
      const holding = yield* connect(endpoint)
      yield* holding.send("GET /metrics HTTP/1.1\r\n")
      edge.signal("SIGTERM")
      yield* edge.log("listeners closed")
      const page = yield* scrape(edge)
      assert.deepStrictEqual([page.value("edgeproxy_draining"), page.sum("edgeproxy_connections_active")], [1, 1])
      const endedAt = performance.now()
      yield* peer.finish
      assert.deepStrictEqual(yield* edge.exit, { code: 0, signal: null })
      assert.isBelow(performance.now() - endedAt, 4_000)
      assert.strictEqual(edge.logs.at(-1)?.message, "drained")
    })
  )

  it.live("shows 10,000 backends while it serves", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const count = 10_000
      const rows = Array.from({ length: count - 1 }, (_, index) => ({
        ...rowOf(`far-${index}`, server, { region: "ap", country: "JP" }),
        wg_ip: refusing.address,
        port: refusing.port
      }))
      const edge = yield* startWith([rowOf("near", server, { country: "BR", hard_limit: 0 }), ...rows], on)
      const scraping = yield* Effect.forkScoped(pageOf(edge))
      const { peer } = yield* greeted(edge.address, { from: "127.1.0.1" })
      yield* peer.send("ping")
      yield* peer.awaitText("ping")
      const page = parse((yield* Fiber.join(scraping)).text)
      assert.strictEqual(page.families.get("edgeproxy_backend_up")?.samples.length, count)
      assert.strictEqual(page.value("edgeproxy_table_backends", { state: "up" }), count)
      assert.strictEqual(page.value("edgeproxy_backend_up", { backend: "far-9998" }), 1)
    })
  )
})
