import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import * as http from "node:http"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { connect, type Peer, serve } from "../support/tcp.ts"
import { viewOf } from "./MemoryRegistry.ts"
import * as rig from "./rig.ts"

const { ask, elsewhere, make, post, registration } = rig

/** Completes when the server has let go of the client, in whatever way. */
const over = (peer: Peer) =>
  peer.watch.until("end", () => peer.socket.readableEnded || peer.closed() !== undefined, 8_000)

const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`

/** How often a status line occurs. */
const count = (text: string, status: number): number => text.split(`HTTP/1.1 ${status} `).length - 1

describe("health and readiness (D3)", () => {
  it.live("health says who and how long", () =>
    Effect.gen(function* () {
      const { client, registry } = yield* make()
      registry.views.set("a", viewOf({ id: "a" }))
      registry.views.set("b", viewOf({ id: "b", source: "table" }))
      const health = yield* (yield* client()).probes.health()
      assert.deepStrictEqual(health, {
        status: "ok",
        version: "1.2.3",
        pop: "gru1",
        region: "sa",
        registered_backends: 1,
        uptime_secs: 0
      })
    })
  )

  it.live("readiness is 503 while draining, and the API goes on", () =>
    Effect.gen(function* () {
      const { address, client, shutdown } = yield* make()
      const typed = yield* client()
      assert.deepStrictEqual(yield* typed.probes.ready(), { ready: true, reasons: [], degraded: [] })
      Shutdown.request(shutdown)
      const { json, status } = yield* ask(address, "/ready")
      assert.deepStrictEqual([status, json], [503, { ready: false, reasons: ["draining"], degraded: [] }])
      assert.deepStrictEqual(yield* typed.probes.ready(), { ready: false, reasons: ["draining"], degraded: [] })
      assert.strictEqual((yield* ask(address, "/health")).status, 200)
      assert.strictEqual((yield* post(address, "/api/v1/register", registration())).status, 201)
    })
  )

  it.live("readiness is 503 before the first table and with a listener down; degraded is not 503", () =>
    Effect.gen(function* () {
      const { address, state } = yield* make()
      state.table = { ...state.table, origin: "none", ageMs: undefined }
      assert.deepInclude((yield* ask(address, "/ready")).json, { reasons: ["no-table"] })
      state.table = { ...state.table, origin: "snapshot" }
      const { json, status } = yield* ask(address, "/ready")
      assert.deepStrictEqual([status, json], [200, { ready: true, reasons: [], degraded: ["table-stored"] }])
      state.listeners = 0
      assert.strictEqual((yield* ask(address, "/ready")).status, 503)
    })
  )

  it.effect("a pause of accepting counts from its own beginning", () =>
    Effect.gen(function* () {
      const { address, admission } = yield* make()
      admission.enter()
      admission.enter()
      assert.strictEqual(admission.paused(), "limit")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* ask(address, "/ready")).status, 200)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude((yield* ask(address, "/ready")).json, { reasons: ["accepting-paused"] })
      admission.leave()
      assert.strictEqual((yield* ask(address, "/ready")).status, 200)
      admission.enter()
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* ask(address, "/ready")).status, 200)
    })
  )
})

describe("those who hold it up", () => {
  it.live.each([
    ["nothing", ""],
    ["half a line", "GET /hea"],
    ["headers without end", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "],
    [
      "half a body",
      "POST /api/v1/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    ]
  ] as const)("one who says %s is let go", ([, text]) =>
    Effect.gen(function* () {
      const { address } = yield* make({ limits: { headersMs: 300, requestMs: 300 } })
      const peer = yield* connect(address)
      const startedAt = performance.now()
      if (text !== "") yield* peer.send(text)
      yield* over(peer)
      assert.isBelow(performance.now() - startedAt, 2_500)
      assert.strictEqual((yield* ask(address, "/health")).status, 200)
    })
  )

  it.live("one who reads nothing of a long answer is let go", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make({ limits: { answerMs: 300 } })
      for (let index = 0; index < 60_000; index++) registry.views.set(`b${index}`, viewOf({ id: `b${index}` }))
      const peer = yield* connect(address, { reading: "stalled" })
      yield* peer.send(get("/api/v1/backends"))
      const startedAt = performance.now()
      // A peer that does not read sees the end when it writes; empty lines before a request are none (RFC 9112).
      yield* peer
        .send("\r\n")
        .pipe(Effect.repeat({ schedule: Schedule.spaced(50), until: () => peer.closed() !== undefined }))
      assert.isBelow(performance.now() - startedAt, 5_000)
      assert.notInclude(peer.text().slice(-100), '"total"')
      assert.isBelow(peer.received(), 15_000_000)
    })
  )

  it.live("a connection is kept for the next request, and not for ever", () =>
    Effect.gen(function* () {
      const { address } = yield* make({ limits: { idleMs: 300 } })
      const peer = yield* connect(address)
      yield* peer.send(get("/health"))
      yield* peer.awaitText("uptime_secs")
      yield* peer.send(get("/ready"))
      yield* peer.awaitText("degraded")
      const startedAt = performance.now()
      yield* over(peer)
      assert.isBelow(performance.now() - startedAt, 3_500)
    })
  )

  it.live("requests that come together are answered in their order", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      const paths = ["/health", "/nowhere", "/ready", "/api/v1/table", "/health"]
      yield* peer.send(paths.map((path) => get(path)).join(""))
      yield* peer.watch.until("five answers", () => peer.text().split("HTTP/1.1 ").length === 6)
      const order = Array.from(peer.text().matchAll(/uptime_secs|no such path|degraded|quarantined/g), ([word]) => word)
      assert.deepStrictEqual(order, ["uptime_secs", "no such path", "degraded", "quarantined", "uptime_secs"])
    })
  )

  it.live.each([
    ["garbage", "\u0000\u0001\u0002\r\n\r\n", "400"],
    ["TLS", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001", "400"],
    ["SSH", "SSH-2.0-OpenSSH_9.6\r\n", "400"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"],
    [
      "two lengths",
      "POST /api/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "400"
    ],
    [
      "length and chunks",
      "POST /api/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400"
    ],
    ["a space before the colon", "GET /health HTTP/1.1\r\nHost : x\r\n\r\n", "400"],
    ["long headers", `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(10_000)}\r\n\r\n`, "431"]
  ] as const)("%s is refused in JSON, and the connection is ended", ([, text, status]) =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(Buffer.from(text, "latin1"))
      yield* over(peer)
      assert.include(peer.text(), `HTTP/1.1 ${status}`)
      assert.match(peer.text(), /\r\n\r\n\{"error":"[a-zA-Z ]+"\}$/)
      assert.strictEqual((yield* ask(address, "/health")).status, 200)
    })
  )

  it.live("a request without a host is refused (RFC 9112)", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send("GET /health HTTP/1.1\r\n\r\n")
      yield* over(peer)
      assert.include(peer.text(), "HTTP/1.1 400")
    })
  )

  it.live("an upgrade is a request like others, and CONNECT is none", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(get("/health", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
      yield* peer.awaitText("uptime_secs")
      const tunnel = yield* connect(address)
      yield* tunnel.send("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n")
      yield* over(tunnel)
      assert.strictEqual(count(tunnel.text(), 200), 0)
    })
  )

  it.live("a fault in a handler is a 500 and a line in the log, and the next request is another try", () =>
    Effect.gen(function* () {
      const { address, lines, registry } = yield* make()
      registry.dieOf = new TypeError("it is broken")
      const { body, status } = yield* post(address, "/api/v1/register", registration())
      assert.deepStrictEqual([status, body], [500, '{"error":"internal"}'])
      assert.strictEqual(lines.filter((line) => line.includes("it is broken")).length, 1)
      registry.dieOf = undefined
      assert.strictEqual((yield* post(address, "/api/v1/register", registration())).status, 201)
    })
  )

  it.live("requests of a client that has gone hold no places", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make({ limits: { requests: 4, requestsPerClient: 4 } })
      registry.views.set("b1", viewOf({ id: "b1" }))
      let waiting = 0
      const peer = yield* connect(address)
      registry.waitFor = Effect.suspend(() => {
        waiting++
        peer.watch.touch()
        return Effect.never
      })
      yield* peer.send("POST /api/v1/heartbeat/b1 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4))
      yield* peer.watch.until("four that wait", () => waiting === 4)
      const busy = yield* ask(address, "/api/v1/table")
      assert.strictEqual(busy.status, 429)
      yield* peer.reset
      yield* ask(address, "/api/v1/table").pipe(
        Effect.repeat({ schedule: Schedule.spaced(20), until: ({ status }) => status === 200 }),
        Effect.timeout(5_000)
      )
    })
  )

  it.live("a client that goes away ends what was done for it", () =>
    Effect.gen(function* () {
      const { address, lines, registry } = yield* make()
      registry.views.set("b1", viewOf({ id: "b1" }))
      const waiting = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      registry.waitFor = Deferred.succeed(waiting, undefined).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
      )
      const peer = yield* connect(address)
      yield* peer.send("POST /api/v1/heartbeat/b1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* Deferred.await(waiting)
      yield* peer.reset
      yield* Deferred.await(ended)
      assert.deepStrictEqual(
        lines.filter((line) => line.includes("fault")),
        []
      )
    })
  )
})

describe("floods", () => {
  it.live(
    "10,000 requests of one client get 429 with a time to come back, and health still answers",
    () =>
      Effect.gen(function* () {
        const { address } = yield* make({ limits: { clientBurst: 1_000, clientPerSecond: 200, refusalMs: 20 } })
        const agent = new http.Agent({ keepAlive: true, maxSockets: 100 })
        yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
        const statuses = new Map<number, number>()
        let retry: string | undefined
        const flood = Effect.forEach(
          Array.from({ length: 10_000 }),
          () =>
            Effect.map(ask(address, "/api/v1/table", { agent }), ({ headers, status }) => {
              statuses.set(status, (statuses.get(status) ?? 0) + 1)
              if (status === 429) retry = headers["retry-after"]
            }),
          { concurrency: 100, discard: true }
        )
        const startedAt = performance.now()
        const flooding = yield* Effect.forkScoped(flood)
        while (retry === undefined) yield* Effect.sleep(5)
        for (let look = 0; look < 3; look++) {
          assert.strictEqual((yield* ask(address, "/health")).status, 200)
          assert.isUndefined(flooding.pollUnsafe())
        }
        yield* Fiber.join(flooding)
        assert.strictEqual(retry, "1")
        assert.isAtLeast(statuses.get(200) ?? 0, 1_000)
        // What has come back meanwhile may be taken, and no more.
        const seconds = (performance.now() - startedAt) / 1_000
        assert.isAtMost(statuses.get(200) ?? 0, 1_000 + Math.ceil(200 * seconds))
        assert.strictEqual((statuses.get(200) ?? 0) + (statuses.get(429) ?? 0), 10_000)
        assert.strictEqual((yield* ask(address, "/health")).status, 200)
      }),
    { timeout: 60_000 }
  )

  it.live("one that sends a thousand requests at once, beyond what it may, gets one refusal", () =>
    Effect.gen(function* () {
      const { address } = yield* make({ limits: { clientBurst: 3, clientPerSecond: 1 } })
      const peer = yield* connect(address)
      yield* peer.send(get("/api/v1/table").repeat(1_000))
      yield* over(peer)
      assert.deepStrictEqual([count(peer.text(), 200), count(peer.text(), 429)], [3, 1])
    })
  )

  it.live.skipIf(elsewhere === undefined)("one client's flood is not another's, nor are its connections", () =>
    Effect.gen(function* () {
      const made = yield* make({
        address: { address: "0.0.0.0", port: 0 },
        limits: {
          connections: 20,
          connectionsForLoopback: 4,
          connectionsPerClient: 10,
          clientBurst: 20,
          clientPerSecond: 1
        }
      })
      const { port } = made.address
      const remote = { address: elsewhere ?? "", port }
      const local = { address: "127.0.0.1", port }
      const headers = rig.bearer(rig.TOKEN)
      const seen = yield* Effect.forEach(Array.from({ length: 40 }), () =>
        Effect.map(ask(remote, "/api/v1/table", { headers }), ({ status }) => status)
      )
      assert.deepStrictEqual([...new Set(seen)], [200, 429])
      assert.strictEqual((yield* ask(local, "/api/v1/table")).status, 200)
      // Other addresses of loopback are other clients.
      assert.strictEqual((yield* ask(local, "/api/v1/table", { from: "127.0.0.2" })).status, 200)
      const silent: Array<Peer> = []
      for (let index = 0; index < 30; index++) silent.push(yield* connect(remote))
      yield* Effect.forEach(silent.slice(0, 20), over, { discard: true })
      assert.isTrue(silent.slice(-10).every((peer) => peer.closed() === undefined))
      assert.strictEqual((yield* ask(local, "/health")).status, 200)
    })
  )

  it.live("what is answered at once has a bound for one client; its health has not", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make({ limits: { requestsPerClient: 3, requests: 100 } })
      registry.views.set("b1", viewOf({ id: "b1" }))
      const go = yield* Deferred.make<void>()
      registry.waitFor = Deferred.await(go)
      const beat = ask(address, "/api/v1/heartbeat/b1", { method: "POST" })
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkScoped(beat, { startImmediately: true }))
      const fourth = yield* beat.pipe(Effect.repeat({ until: ({ status }) => status === 429 }), Effect.timeout(5_000))
      assert.deepStrictEqual(fourth.json, { error: "too many requests" })
      assert.strictEqual((yield* ask(address, "/health")).status, 200)
      yield* Deferred.succeed(go, undefined)
      const answers = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [200, 200, 200]
      )
    })
  )
})

describe("the server's beginning and end", () => {
  it.live("a port that is taken is an error that names it", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const error = yield* Effect.flip(make({ address: endpoint }))
      assert.deepInclude(error, { _tag: "ListenError", reason: "InUse" })
      assert.include(error.message, `127.0.0.1:${endpoint.port}`)
    })
  )

  it.live("an address that is not this host's, too", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(make({ address: { address: "203.0.113.1", port: 0 } }))
      assert.deepInclude(error, { _tag: "ListenError", reason: "BadAddress" })
    })
  )

  it.live("takes IPv6 and IPv4 on ::, and loopback is loopback on both", () =>
    Effect.gen(function* () {
      const { address } = yield* make({ address: { address: "::", port: 0 } })
      for (const host of ["::1", "127.0.0.1"]) {
        const answer = yield* post({ address: host, port: address.port }, "/api/v1/register", registration())
        assert.oneOf(answer.status, [200, 201])
      }
    })
  )

  it.live("ends at once with clients that wait or are not through with their request", () =>
    Effect.gen(function* () {
      const { address, close } = yield* make()
      const idle = yield* connect(address)
      yield* idle.send(get("/health"))
      yield* idle.awaitText("uptime_secs")
      const half = yield* connect(address)
      yield* half.send("GET /health HTTP/1.1\r\n")
      const startedAt = performance.now()
      yield* close
      assert.isBelow(performance.now() - startedAt, 500)
      yield* over(idle)
      yield* over(half)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask(address, "/health"))))
    })
  )

  it.live("ends within a second with one that is being served", () =>
    Effect.gen(function* () {
      const { address, close, registry } = yield* make()
      registry.views.set("b1", viewOf({ id: "b1" }))
      const asked = yield* Deferred.make<void>()
      registry.waitFor = Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
      const served = yield* Effect.forkScoped(Effect.exit(ask(address, "/api/v1/heartbeat/b1", { method: "POST" })))
      yield* Deferred.await(asked)
      const startedAt = performance.now()
      yield* close
      assert.isBelow(performance.now() - startedAt, 1_500)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(served)))
    })
  )

  it.live("what is being answered when it ends is answered", () =>
    Effect.gen(function* () {
      const { address, close, registry } = yield* make()
      registry.views.set("b1", viewOf({ id: "b1" }))
      const asked = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      registry.waitFor = Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(go))
      const agent = new http.Agent({ keepAlive: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      const served = yield* Effect.forkScoped(ask(address, "/api/v1/heartbeat/b1", { method: "POST", agent }))
      yield* Deferred.await(asked)
      const startedAt = performance.now()
      const closing = yield* Effect.forkScoped(close, { startImmediately: true })
      yield* Deferred.succeed(go, undefined)
      assert.deepInclude((yield* Fiber.join(served)).json, { status: "ok" })
      yield* Fiber.join(closing)
      assert.isBelow(performance.now() - startedAt, 800)
    })
  )
})
