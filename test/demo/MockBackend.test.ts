import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as http from "node:http"
import * as net from "node:net"
import { hostname } from "node:os"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { type MockBackend, MockBackendError, startMockBackend } from "../../layers/demo/MockBackend.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))
const program = fileURLToPath(new URL("../../layers/demo/mock-backend.ts", import.meta.url))

const start = startMockBackend({ id: "mock-eu-1", region: "eu", host: "127.0.0.1", port: 0 })

/** One request on a connection of its own; the answer and the port it was asked from. */
const ask = (port: number, path: string, options?: http.RequestOptions) =>
  Effect.promise(async () => {
    const request = http.request({ host: "127.0.0.1", port, path, agent: false, ...options })
    request.end()
    const [response]: Array<http.IncomingMessage> = await once(request, "response")
    assert.isDefined(response)
    const { statusCode: status, headers, socket } = response
    const from = socket.localPort
    return { status, headers, from, body: await text(response) }
  })

const connect = (port: number) =>
  Effect.callback<net.Socket, Error>((resume) => {
    const socket = net.connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
    socket.on("error", (error) => resume(Effect.fail(error)))
  })

describe("the mock backend", () => {
  it.live("says who it is", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      const { body, headers, status } = yield* ask(address.port, "/")
      assert.strictEqual(status, 200)
      assert.match(headers["content-type"] ?? "", /^text\/plain/)
      assert.include(body, "id: mock-eu-1\nregion: eu\n")
    })
  )

  it.live("answers health checks, and does not count them", () =>
    Effect.gen(function* () {
      const { address, requests } = yield* start
      const { body, status } = yield* ask(address.port, "/health")
      assert.strictEqual(status, 200)
      assert.strictEqual(body, "OK - mock-eu-1 (eu)")
      assert.strictEqual(requests(), 0)
    })
  )

  it.live("reports its details and the client it saw", () =>
    Effect.gen(function* () {
      const { address, requests } = yield* start
      yield* ask(address.port, "/api/latency")
      const before = Date.now()
      const { body, from, headers } = yield* ask(address.port, "/api/info?n=1")
      const { now, uptime_secs, ...rest } = JSON.parse(body)
      assert.strictEqual(headers["content-type"], "application/json")
      assert.deepStrictEqual(rest, {
        id: "mock-eu-1",
        region: "eu",
        hostname: hostname(),
        port: address.port,
        requests: 2,
        client: "127.0.0.1",
        client_port: from
      })
      assert.isTrue(Number.isInteger(uptime_secs) && uptime_secs >= 0 && uptime_secs < 60)
      assert.isAtLeast(Date.parse(now), before)
      assert.isAtMost(Date.parse(now), Date.now())
      assert.strictEqual(requests(), 2)
    })
  )

  it.live("has a minimal answer for latency measurements", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      const { body } = yield* ask(address.port, "/api/latency")
      assert.deepStrictEqual(Object.keys(JSON.parse(body)), ["id", "region", "now"])
    })
  )

  it.live("answers HEAD with the headers of GET", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      const { body, headers, status } = yield* ask(address.port, "/health", { method: "HEAD" })
      assert.deepStrictEqual([status, headers["content-length"], body], [200, "19", ""])
    })
  )

  it.live("refuses unknown paths and other methods", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      assert.strictEqual((yield* ask(address.port, "/healthz")).status, 404)
      assert.strictEqual((yield* ask(address.port, "//")).status, 404)
      const posted = yield* ask(address.port, "/health", { method: "POST" })
      assert.deepStrictEqual([posted.status, posted.headers.allow], [405, "GET, HEAD"])
    })
  )

  it.live("closes its connections and its port with the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { address } = yield* Scope.provide(start, scope)
      const silent = yield* connect(address.port)
      const asking = yield* connect(address.port)
      asking.write("GET /health HTTP/1.1\r\n")
      const keptAlive = yield* connect(address.port)
      keptAlive.write("GET /health HTTP/1.1\r\nHost: mock\r\n\r\n")
      // Connections are accepted in order: when the last is answered, the server holds all.
      yield* Effect.promise(() => once(keptAlive, "data"))

      const closed = [silent, asking, keptAlive].map((socket) => once(socket.resume(), "close"))
      yield* Scope.close(scope, Exit.void)
      yield* Effect.promise(() => Promise.all(closed))
      const refused = yield* Effect.flip(connect(address.port))
      assert.propertyVal(refused, "code", "ECONNREFUSED")
    })
  )

  it.live("fails when the port is taken", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      const again = startMockBackend({ id: "mock-eu-2", region: "eu", ...address })
      const error = yield* Effect.flip(again)
      assert.instanceOf(error, MockBackendError)
      assert.match(error.message, new RegExp(`127.0.0.1 port ${address.port}: .*EADDRINUSE`))
    })
  )
})

const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(node, [program, ...args], {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      return { child, exit: once(child, "exit"), stderr: text(child.stderr) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const listening = (child: ChildProcess & { readonly stdout: NodeJS.ReadableStream }) =>
  Effect.promise(async (): Promise<{ listening: MockBackend["address"]; id: string }> => {
    const [line] = await once(createInterface(child.stdout), "line")
    return JSON.parse(line)
  })

describe("the mock-backend program", () => {
  it.live.each(["SIGTERM", "SIGINT"] as const)("listens, answers, and ends cleanly at %s", (signal) =>
    Effect.gen(function* () {
      const { child, exit, stderr } = yield* run(["--port", "0", "--region", "us", "--id", "mock-us-1"])
      const announced = yield* listening(child)
      assert.strictEqual(announced.id, "mock-us-1")
      assert.strictEqual(announced.listening.host, "127.0.0.1")
      assert.strictEqual((yield* ask(announced.listening.port, "/health")).body, "OK - mock-us-1 (us)")

      child.kill(signal)
      assert.deepStrictEqual(yield* Effect.promise(() => exit), [0, null])
      assert.strictEqual(yield* Effect.promise(() => stderr), "")
    })
  )

  it.live("takes what the flags do not say from the environment", () =>
    Effect.gen(function* () {
      const env = { PORT: "0", REGION: "sa", ID: "from-env" }
      const { child } = yield* run(["--id", "from-flag", "--host", "127.0.0.2"], env)
      const announced = yield* listening(child)
      assert.strictEqual(announced.id, "from-flag")
      assert.strictEqual(announced.listening.host, "127.0.0.2")
      const { body } = yield* ask(announced.listening.port, "/health", { host: "127.0.0.2" })
      assert.strictEqual(body, "OK - from-flag (sa)")
    })
  )

  it.live.each([
    [["--port", "9001", "--region", "eu"], "missing --id"],
    [["--port", "65536", "--region", "eu", "--id", "a"], "--port: expected 0 to 65535"],
    [["--port", "1e3", "--region", "eu", "--id", "a"], "--port: expected 0 to 65535"],
    [["--prot", "9001"], "Unknown option '--prot'"],
    [["--port", "9001", "--region", "eu", "--id", "a", "more"], "Unexpected argument 'more'"]
  ] as const)("refuses %j", ([args, complaint]) =>
    Effect.gen(function* () {
      const { exit, stderr } = yield* run(args, { PORT: "", REGION: "", ID: "" })
      assert.deepStrictEqual(yield* Effect.promise(() => exit), [64, null])
      const said = yield* Effect.promise(() => stderr)
      assert.include(said, complaint)
      assert.include(said, "Usage: mock-backend")
    })
  )

  it.live("ends with 1 when the port is taken", () =>
    Effect.gen(function* () {
      const { address } = yield* start
      const { exit, stderr } = yield* run(["--port", String(address.port), "--region", "eu", "--id", "a"])
      assert.deepStrictEqual(yield* Effect.promise(() => exit), [1, null])
      assert.match(
        yield* Effect.promise(() => stderr),
        /^mock backend cannot listen on 127.0.0.1 port \d+: .*EADDRINUSE/
      )
    })
  )
})
