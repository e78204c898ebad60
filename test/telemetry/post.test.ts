import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as net from "node:net"
import type { AddressInfo } from "node:net"
import { type Collector, connect, retryAfterMs } from "../../layers/telemetry/post.ts"
import { eventually } from "../support/Watch.ts"

const body = new TextEncoder().encode("spans")
const TIMEOUT_MS = 500

const listening = (server: net.Server): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<string>((resolve) =>
          server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
        )
    ),
    () => Effect.sync(() => server.close())
  )

/** A collector that is a TCP server: what comes back is any bytes. */
const raw = Effect.fnUntraced(function* (onConnection: (socket: net.Socket) => void) {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => undefined)
    socket.once("close", () => sockets.delete(socket))
    onConnection(socket)
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
  return { url: yield* listening(server), sockets }
})

const polite = (respond: (request: http.IncomingMessage, response: http.ServerResponse) => void) => {
  const server = http.createServer((request, response) => {
    request.resume()
    request.once("end", () => respond(request, response))
  })
  return Effect.andThen(
    Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections())),
    listening(server)
  )
}

const post = (url: string, headers: Readonly<Record<string, string>> = {}, signal = new AbortController().signal) =>
  Effect.acquireUseRelease(
    Effect.sync(() => connect(url, headers, TIMEOUT_MS)),
    (collector: Collector) => Effect.promise(() => collector.post("/v1/traces", body, signal)),
    (collector) => Effect.sync(collector.close)
  )

const noRetryAfter = { retryAfterMs: undefined }

describe("a collector", () => {
  it.live("gets protobuf at its path, with the headers that were asked for", () =>
    Effect.gen(function* () {
      const seen: Array<http.IncomingMessage> = []
      const url = yield* polite((request, response) => {
        seen.push(request)
        response.end()
      })
      assert.deepStrictEqual(yield* post(`${url}/otlp/`, { "x-key": "secret" }), { _tag: "Delivered" })
      const [request] = seen
      assert.deepStrictEqual([request?.method, request?.url], ["POST", "/otlp/v1/traces"])
      assert.deepInclude(request?.headers, {
        "content-type": "application/x-protobuf",
        "content-length": `${body.length}`,
        "x-key": "secret"
      })
    })
  )

  it.live.each([
    [200, { _tag: "Delivered" }],
    [202, { _tag: "Delivered" }],
    [400, { _tag: "Rejected", why: "HTTP 400" }],
    [401, { _tag: "Rejected", why: "HTTP 401" }],
    [500, { _tag: "Rejected", why: "HTTP 500" }],
    [429, { _tag: "Failed", why: "HTTP 429", ...noRetryAfter }],
    [502, { _tag: "Failed", why: "HTTP 502", ...noRetryAfter }],
    [503, { _tag: "Failed", why: "HTTP 503", ...noRetryAfter }],
    [504, { _tag: "Failed", why: "HTTP 504", ...noRetryAfter }]
  ] as const)("that answers %d", ([status, outcome]) =>
    Effect.gen(function* () {
      const url = yield* polite((_, response) => response.writeHead(status).end("what it thinks of it"))
      assert.deepStrictEqual(yield* post(url), outcome)
    })
  )

  it.live("that asks for patience is understood", () =>
    Effect.gen(function* () {
      const url = yield* polite((_, response) => response.writeHead(429, { "retry-after": "7" }).end())
      assert.deepStrictEqual(yield* post(url), { _tag: "Failed", why: "HTTP 429", retryAfterMs: 7_000 })
      assert.strictEqual(retryAfterMs("Thu, 01 Jan 1970 00:00:10 GMT", 4_000), 6_000)
      assert.strictEqual(retryAfterMs("Thu, 01 Jan 1970 00:00:01 GMT", 4_000), 0)
      for (const text of ["", "soon", "-1", "1e9", "9".repeat(400)]) assert.isUndefined(retryAfterMs(text, 0))
    })
  )

  it.live("that sends somewhere else is not followed: the headers are for nobody else", () =>
    Effect.gen(function* () {
      let visits = 0
      const other = yield* polite((_, response) => {
        visits++
        response.end()
      })
      const url = yield* polite((_, response) => response.writeHead(307, { location: other }).end())
      assert.deepStrictEqual(yield* post(url), { _tag: "Rejected", why: "HTTP 307" })
      assert.strictEqual(visits, 0)
    })
  )

  it.live("that never answers is given up, and its connection closed", () =>
    Effect.gen(function* () {
      const { sockets, url } = yield* raw((socket) => socket.resume())
      assert.deepStrictEqual(yield* post(url), { _tag: "Failed", why: "no answer", ...noRetryAfter })
      yield* eventually("the end of the connection", () => sockets.size === 0)
    })
  )

  it.live.each([
    ["nothing and goes", "", true],
    ["what is no HTTP", "\u0000\u0001garbage\r\n\r\n", true],
    ["headers without end", "HTTP/1.1 200 OK\r\nx: " + "y".repeat(100_000), false],
    ["a body that is shorter than it says", "HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nshort", true]
  ] as const)("that says %s has failed", ([, text, ends]) =>
    Effect.gen(function* () {
      const { url } = yield* raw((socket) =>
        socket.once("data", () => (ends ? socket.end(text, "latin1") : socket.write(text, "latin1")))
      )
      assert.strictEqual((yield* post(url))._tag, "Failed")
    })
  )

  it.live("that answers with more than anybody reads is not read", () =>
    Effect.gen(function* () {
      let sent = 0
      const { sockets, url } = yield* raw((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
          const more = (): void => {
            while (!socket.destroyed && socket.write(`10000\r\n${"x".repeat(65_536)}\r\n`)) sent += 65_536
          }
          socket.on("drain", more)
          more()
        })
      })
      assert.deepStrictEqual(yield* post(url), { _tag: "Delivered" })
      yield* eventually("the end of the connection", () => sockets.size === 0)
      assert.isBelow(sent, 50_000_000)
    })
  )

  it.live("that answers slowly, byte by byte, is given up in time", () =>
    Effect.gen(function* () {
      const { url } = yield* raw((socket) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        const drip = setInterval(() => socket.write("x"), 20)
        socket.once("close", () => clearInterval(drip))
      })
      const startedAt = performance.now()
      yield* post(url)
      assert.isBelow(performance.now() - startedAt, 10 * TIMEOUT_MS)
    })
  )

  it.live("that nobody runs has failed, and so has a request that is given up", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* post("http://127.0.0.77:1"), {
        _tag: "Failed",
        why: "ECONNREFUSED",
        ...noRetryAfter
      })
      const { url } = yield* raw(() => undefined)
      assert.deepStrictEqual(yield* post(url, {}, AbortSignal.abort()), {
        _tag: "Failed",
        why: "given up",
        ...noRetryAfter
      })
    })
  )
})
