import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as http from "node:http"
import { gunzipSync } from "node:zlib"
import * as PrometheusEndpoint from "../../layers/prometheus/PrometheusEndpoint.ts"
import { Metrics } from "../../src/observe/Metrics.ts"
import type { Page } from "../../src/observe/PrometheusText.ts"
import { freePort } from "../bench/freePort.ts"
import { connect, type Peer, serve } from "../support/tcp.ts"

const pageOf = (...texts: ReadonlyArray<string>): Page => {
  const chunks = texts.map((text) => new TextEncoder().encode(text))
  return { chunks, bytes: chunks.reduce((sum, { length }) => sum + length, 0) }
}

const small = pageOf("# HELP a A.\n# TYPE a gauge\n", "a 1\n")
const smallText = "# HELP a A.\n# TYPE a gauge\na 1\n"

interface Options {
  readonly page?: Effect.Effect<Page>
  readonly limits?: Partial<PrometheusEndpoint.EndpointLimits>
  readonly port?: number
}

/** The endpoint on a free port of 127.0.0.1, until the scope ends or `close` is run. */
const start = Effect.fnUntraced(function* ({ limits, page = Effect.succeed(small), port }: Options = {}) {
  const address = { address: "127.0.0.1", port: port ?? (yield* Effect.promise(freePort)) }
  const scope = yield* Scope.fork(yield* Effect.scope)
  yield* Layer.buildWithScope(
    PrometheusEndpoint.layer({
      address,
      path: "/metrics",
      limits: { requestMs: 5_000, connectionMs: 30_000, connections: 8, ...limits }
    }).pipe(Layer.provide(Layer.succeed(Metrics, { page: () => page }))),
    scope
  ).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  return { address, close: Scope.close(scope, Exit.void) }
})

interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

const ask = (
  { port }: { readonly port: number },
  {
    headers = {},
    method = "GET",
    path = "/metrics"
  }: { headers?: Record<string, string>; method?: string; path?: string } = {}
): Effect.Effect<Answer, Error> =>
  Effect.callback((resume) => {
    const request = http.request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (part: Buffer) => parts.push(part))
      response.on("error", (error) => resume(Effect.fail(error)))
      response.on("end", () =>
        resume(
          Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) })
        )
      )
    })
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end()
  })

/** Completes when the endpoint has let go of the client, in whatever way. */
const over = (peer: Peer) =>
  peer.watch.until("end", () => peer.socket.readableEnded || peer.closed() !== undefined, 5_000)

describe("the endpoint", () => {
  it.live("answers a scrape with the page", () =>
    Effect.gen(function* () {
      const { address } = yield* start()
      const { body, headers, status } = yield* ask(address)
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      assert.strictEqual(headers["content-length"], `${smallText.length}`)
      assert.strictEqual(body.toString(), smallText)
    })
  )

  it.live.each(["GET /metrics", "GET /", "PUT /metrics"])("closes the connection after its answer to %s", (what) =>
    Effect.gen(function* () {
      const { address } = yield* start()
      const peer = yield* connect(address)
      yield* peer.send(`${what} HTTP/1.1\r\nHost: x\r\n\r\n`)
      const startedAt = performance.now()
      yield* peer.awaitFin
      assert.isBelow(performance.now() - startedAt, 2_000)
      assert.include(peer.text().toLowerCase(), "connection: close")
    })
  )

  it.live("takes a query, and HEAD, which gets the same headers and no body", () =>
    Effect.gen(function* () {
      const { address } = yield* start()
      assert.strictEqual((yield* ask(address, { path: "/metrics?collect=all" })).status, 200)
      const { body, headers, status } = yield* ask(address, { method: "HEAD" })
      assert.deepStrictEqual(
        [status, headers["content-type"], headers["content-length"], body.length],
        [200, "text/plain; version=0.0.4; charset=utf-8", `${smallText.length}`, 0]
      )
    })
  )

  it.live.each(["/", "/metrics/", "/metricsx", "/favicon.ico"])("knows no other path: %s", (path) =>
    Effect.gen(function* () {
      const { address } = yield* start()
      assert.strictEqual((yield* ask(address, { path })).status, 404)
    })
  )

  it.live.each(["POST", "PUT", "DELETE", "OPTIONS"])("takes no %s", (method) =>
    Effect.gen(function* () {
      const { address } = yield* start()
      const { headers, status } = yield* ask(address, { method })
      assert.deepStrictEqual([status, headers.allow], [405, "GET, HEAD"])
    })
  )

  it.live.each([
    ["gzip", true],
    ["deflate, GZIP;q=0.5", true],
    ["identity", false],
    ["gzip;q=0", false],
    ["gzip; q=0.0, br", false],
    ["", false]
  ] as const)("compresses for those who take it: accept-encoding %j", ([accepted, compressed]) =>
    Effect.gen(function* () {
      const { address } = yield* start()
      const { body, headers } = yield* ask(address, { headers: { "accept-encoding": accepted } })
      assert.strictEqual(headers["content-encoding"], compressed ? "gzip" : undefined)
      assert.strictEqual(headers["content-length"], `${body.length}`)
      assert.strictEqual((compressed ? gunzipSync(body) : body).toString(), smallText)
    })
  )

  it.live("a page that can't be made is an error, and the next one is another try", () =>
    Effect.gen(function* () {
      let broken = true
      const page = Effect.suspend(() => (broken ? Effect.die(new Error("no reading")) : Effect.succeed(small)))
      const { address } = yield* start({ page })
      const { body, status } = yield* ask(address)
      assert.strictEqual(status, 500)
      assert.notInclude(body.toString(), "no reading")
      broken = false
      assert.strictEqual((yield* ask(address)).status, 200)
    })
  )

  it.live("a long page arrives whole, also at a slow reader's, and compressed", () =>
    Effect.gen(function* () {
      const long = pageOf(...Array.from({ length: 200 }, (_, index) => `${index}\n`.repeat(10_000)))
      const expected = Buffer.concat(long.chunks)
      const { address } = yield* start({ page: Effect.succeed(long) })
      assert.isTrue((yield* ask(address)).body.equals(expected))
      const { body } = yield* ask(address, { headers: { "accept-encoding": "gzip" } })
      assert.isBelow(body.length, expected.length / 20)
      assert.isTrue(gunzipSync(body).equals(expected))
      const slow = yield* connect(address, { reading: { bytes: 2_000_000, ms: 20 } })
      yield* slow.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
      yield* slow.awaitFin
      const head = slow.text().indexOf("\r\n\r\n") + 4
      assert.strictEqual(slow.received() - head, expected.length)
    })
  )
})

describe("the endpoint and those who hold it up", () => {
  it.live("a request that does not come to its end is cut off", () =>
    Effect.gen(function* () {
      const { address } = yield* start({ limits: { requestMs: 200 } })
      const startedAt = performance.now()
      const peer = yield* connect(address)
      yield* peer.send("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
      yield* over(peer)
      assert.isAtLeast(performance.now() - startedAt, 150)
      assert.include(peer.text(), "408")
      assert.strictEqual((yield* ask(address)).status, 200)
    })
  )

  it.live("a client that says nothing at all, too, and one that does not read", () =>
    Effect.gen(function* () {
      const long = pageOf("x".repeat(30_000_000))
      const { address } = yield* start({ page: Effect.succeed(long), limits: { connectionMs: 300 } })
      const silent = yield* connect(address)
      const stalled = yield* connect(address, { reading: "stalled" })
      yield* stalled.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
      yield* over(silent)
      // What the kernel holds of the page comes first.
      stalled.socket.resume()
      yield* over(stalled)
      assert.isBelow(stalled.received(), 30_000_000)
    })
  )

  it.live("headers have a bound", () =>
    Effect.gen(function* () {
      const { address } = yield* start()
      const { status } = yield* ask(address, { headers: { "x-long": "x".repeat(10_000) } })
      assert.strictEqual(status, 431)
    })
  )

  it.live("there are so many connections and no more, until one of them ends", () =>
    Effect.gen(function* () {
      const { address } = yield* start({ limits: { connections: 2 } })
      const [first] = [yield* connect(address), yield* connect(address)]
      // Taken and asked for nothing yet; the order of accepting is that of connecting.
      const third = yield* connect(address)
      yield* over(third)
      yield* first.finish
      yield* over(first)
      assert.strictEqual((yield* ask(address)).status, 200)
    })
  )
})

describe("the endpoint's beginning and end", () => {
  it.live("a port that is taken is an error that says so", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const error = yield* Effect.flip(start({ port: endpoint.port }))
      assert.deepInclude(error, { _tag: "ListenError", reason: "InUse" })
      assert.include(error.message, `127.0.0.1:${endpoint.port}`)
    })
  )

  it.live("ends at once with clients that are idle, and soon with one in the middle of something", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const { address, close } = yield* start({
        page: Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
      })
      const half = yield* connect(address)
      yield* half.send("GET /metrics HTTP/1.1\r\n")
      const waiting = yield* Effect.forkScoped(Effect.exit(ask(address)))
      yield* Deferred.await(asked)
      const startedAt = performance.now()
      yield* close
      assert.isBelow(performance.now() - startedAt, 3_000)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      yield* over(half)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask(address))))
    })
  )

  it.live("a scrape that is under way gets its answer", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const made = yield* Deferred.make<Page>()
      const page = Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(made))
      const { address, close } = yield* start({ page })
      const waiting = yield* Effect.forkScoped(ask(address))
      yield* Deferred.await(asked)
      const closing = yield* Effect.forkScoped(close, { startImmediately: true })
      yield* Deferred.succeed(made, small)
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Fiber.join(waiting)).body.toString(), smallText)
    })
  )
})
