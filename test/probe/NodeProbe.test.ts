import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HealthProbe, type Probe, type ProbeError } from "../../src/backends/HealthProbe.ts"
import * as NodeProbe from "../../layers/probe/NodeProbe.ts"
import { MAX_STATUS_LINE, statusOf } from "../../layers/probe/statusLine.ts"
import type { ProxyOut } from "../../src/traffic/ProxyHeaderOut.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { blackHole } from "../support/blackHole.ts"
import { type Peer, refusing, serve } from "../support/tcp.ts"

const tcp: Probe = { kind: "tcp" }
const http: Probe = { kind: "http", path: "/health", expectedStatus: 200 }

/** `passed`, or why not. */
const outcome = (
  to: Endpoint,
  what: Probe,
  timeoutMs = 2_000,
  proxyOut: ProxyOut = "off"
): Effect.Effect<"passed" | ProbeError["reason"]> =>
  HealthProbe.use(({ probe }) => probe(to, what, timeoutMs)).pipe(
    Effect.match({ onSuccess: () => "passed" as const, onFailure: ({ reason }) => reason }),
    Effect.provide(NodeProbe.layer({ proxyOut, tls: undefined }))
  )

/** A server that answers the whole request so. */
const answering = (answer: (peer: Peer) => Effect.Effect<unknown>) =>
  serve({
    onPeer: (peer) =>
      void Effect.runFork(
        peer.awaitText("\r\n\r\n").pipe(
          Effect.andThen(() => answer(peer)),
          Effect.ignore,
          Effect.catchCause(() => Effect.void)
        )
      )
  })

const saying = (text: string) => answering((peer) => Effect.andThen(peer.send(text), peer.finish))

describe("H1: a check that connects", () => {
  it.live("passes where somebody listens, and leaves no connection behind", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      assert.strictEqual(yield* outcome(server.endpoint, tcp), "passed")
      const peer = yield* server.peer(0)
      assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
      assert.strictEqual(peer.received(), 0)
    })
  )

  it.live("says that a port is refused, and that nobody answers in time", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* outcome(refusing, tcp), "refused")
      const started = performance.now()
      assert.strictEqual(yield* outcome(yield* blackHole(), tcp, 200), "timeout")
      assert.isBelow(performance.now() - started, 1_500)
    })
  )
})

describe("H1: a check that asks for a status", () => {
  it.live("sends one GET with its host, and reads no more than the status", () =>
    Effect.gen(function* () {
      const server = yield* saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      assert.strictEqual(yield* outcome(server.endpoint, http), "passed")
      const peer = yield* server.peer(0)
      const [head, ...more] = peer.text().split("\r\n")
      assert.strictEqual(head, "GET /health HTTP/1.1")
      assert.include(more, `Host: 127.0.0.1:${server.endpoint.port}`)
      assert.include(more, "Connection: close")
    })
  )

  it.live.each([
    ["another status", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "status"],
    ["a redirect, which it does not follow", "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "status"],
    ["no reason after the status", "HTTP/1.1 200\r\n\r\n", "passed"],
    ["HTTP/1.0 and bare newlines", "HTTP/1.0 200 fine\n\n", "passed"],
    ["another protocol", "SSH-2.0-OpenSSH_9.9\r\n", "malformed"],
    ["HTTP/2 without a word of HTTP/1", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", "malformed"],
    ["a status that is none", "HTTP/1.1 20 OK\r\n\r\n", "malformed"],
    ["half a line", "HTTP/1.1 20", "closed"],
    ["nothing", "", "closed"]
  ] as const)("%s: %s", ([, answer, expected]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* outcome((yield* saying(answer)).endpoint, http), expected)
    })
  )

  it.live("passes with the status that is expected, whatever it is", () =>
    Effect.gen(function* () {
      const server = yield* saying("HTTP/1.1 301 Moved\r\n\r\n")
      assert.strictEqual(yield* outcome(server.endpoint, { ...http, expectedStatus: 301 }), "passed")
    })
  )

  it.live("takes a status in single bytes, and gives up on one that drips beyond the deadline", () =>
    Effect.gen(function* () {
      const drip = (pauseMs: number) =>
        answering((peer) =>
          Effect.forEach("HTTP/1.1 200 OK\r\n\r\n", (byte) => Effect.delay(peer.send(byte), pauseMs), { discard: true })
        )
      assert.strictEqual(yield* outcome((yield* drip(1)).endpoint, http), "passed")
      const started = performance.now()
      assert.strictEqual(yield* outcome((yield* drip(60)).endpoint, http, 300), "timeout")
      assert.isBelow(performance.now() - started, 1_500)
    })
  )

  it.live("gives up on a server that says nothing, and closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      assert.strictEqual(yield* outcome(server.endpoint, http, 200), "timeout")
      yield* (yield* server.peer(0)).awaitFin
    })
  )

  it.live("reads no endless line, and no endless body", () =>
    Effect.gen(function* () {
      const flood = (text: string) =>
        answering((peer) => Effect.forever(Effect.andThen(peer.send(text.repeat(10_000)), Effect.yieldNow)))
      const endless = yield* flood("x")
      assert.strictEqual(yield* outcome(endless.endpoint, http), "malformed")
      const line = yield* serve({ onPeer: ({ socket }) => void socket.write(`HTTP/1.1 200 ${"x".repeat(1_000_000)}`) })
      assert.strictEqual(yield* outcome(line.endpoint, http), "malformed")
      const body = yield* answering((peer) =>
        Effect.andThen(peer.send("HTTP/1.1 200 OK\r\n\r\n"), peer.send("y".repeat(4_000_000)))
      )
      assert.strictEqual(yield* outcome(body.endpoint, http), "passed")
      assert.isDefined(yield* (yield* body.peer(0)).awaitClosed)
    })
  )

  it.live("says that the backend has reset", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: ({ socket }) => void socket.once("data", () => socket.resetAndDestroy()) })
      assert.strictEqual(yield* outcome(server.endpoint, http), "reset")
    })
  )

  it.live("ends when nobody waits for it any more", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* outcome(server.endpoint, http, 60_000).pipe(
        Effect.raceFirst(Effect.flatMap(server.peer(0), (peer) => peer.awaitText("\r\n\r\n")))
      )
      yield* (yield* server.peer(0)).awaitFin
    })
  )
})

describe("the status line", () => {
  it("is read at any split", () => {
    const answer = "HTTP/1.1 204 No Content\r\n"
    for (let end = 0; end < answer.length; end++) assert.strictEqual(statusOf(answer.slice(0, end)), "incomplete")
    assert.strictEqual(statusOf(answer), 204)
    assert.strictEqual(statusOf("HTTP/1.1 200 " + "x".repeat(MAX_STATUS_LINE)), "malformed")
    assert.strictEqual(statusOf("G"), "malformed")
  })
})

describe("H1: a check of backends that expect a PROXY header", () => {
  const own = /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n/

  it.live("sends one for itself and leaves in order, so that it is no broken one to them", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      assert.strictEqual(yield* outcome(server.endpoint, tcp, 2_000, "v1"), "passed")
      assert.strictEqual(yield* outcome(server.endpoint, tcp, 2_000, "v2"), "passed")
      const [first, second] = [yield* server.peer(0), yield* server.peer(1)]
      for (const peer of [first, second]) yield* peer.awaitFin
      assert.match(first.text(), own)
      assert.strictEqual(second.text(), "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
    })
  )

  it.live("sends it ahead of its request", () =>
    Effect.gen(function* () {
      const server = yield* saying("HTTP/1.1 200 OK\r\n\r\n")
      assert.strictEqual(yield* outcome(server.endpoint, http, 2_000, "v1"), "passed")
      const text = (yield* server.peer(0)).text()
      assert.match(text, own)
      assert.include(text, "\r\nGET /health HTTP/1.1\r\n")
    })
  )
})
