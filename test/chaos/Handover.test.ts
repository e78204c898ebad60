import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { randomInt } from "node:crypto"
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { close } from "../../layers/transport-splice/libc.ts"
import { listenSocket } from "../../layers/transport-splice/listenSocket.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { ca, certificates } from "../e2e/secure.ts"
import { defaults } from "../e2e/setup.ts"
import { bundleDirectory, type EdgeProcess, scratch, spawnEdge } from "../support/EdgeProcess.ts"
import { createDatabase } from "../support/routingDb.ts"
import { Wire } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { engines, mishaps, patience, rounds, tell } from "./scene.ts"
import { brazilian, load, transfer, upTo, visit } from "./visit.ts"

/** An address that no other test listens on, so that its ports are free, and stay the same from process to process. */
const host = (): string => `127.${randomInt(100, 250)}.${randomInt(1, 250)}.${randomInt(1, 250)}`

const endpoint = (address: string, port: number): Endpoint => ({ address, port })

const isGone = (pid: number): boolean => {
  try {
    // A zombie is one that only its parent has to hear of.
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return true
  }
}

const kill = (pid: number): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!isGone(pid)) process.kill(pid, "SIGKILL")
  })

const begun = (edge: EdgeProcess) => Effect.all([edge.log("routing table"), edge.log("API endpoint")])

/** Has the process hand over, and gives its successor. */
const handOver = Effect.fnUntraced(function* (edge: EdgeProcess, pid: number) {
  const before = edge.logs.length
  process.kill(pid, "SIGUSR2")
  const line = yield* edge.log(({ message }) => message === "handed over" || message.startsWith("no handover"), before)
  assert.strictEqual(line.message, "handed over", JSON.stringify(line))
  const next = Number(line["pid"])
  yield* Effect.addFinalizer(() => kill(next))
  return next
})

const errorsOf = (edge: EdgeProcess) =>
  edge.logs.filter(({ level }) => level === "error" || level === "fatal").map(({ message }) => message)

for (const engine of engines.filter(() => process.platform === "linux")) {
  const restarts = engine === "splice" ? 20 * rounds : 5 * rounds

  describe(`the listening sockets pass from process to process, engine ${engine}`, () => {
    it.live(
      `through ${restarts} handovers under load: nobody is refused, nothing is cut`,
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const database = `${yield* scratch}/routing.db`
          createDatabase(
            database,
            all.map(({ row }) => row())
          )
          const address = host()
          const edge = yield* spawnEdge({
            env: {
              ...defaults(database),
              TRANSPORT: engine,
              LISTEN_ADDR: `${address}:8080`,
              API_LISTEN_ADDR: `${address}:8081`,
              METRICS_ENABLED: "true",
              METRICS_LISTEN_ADDR: `${address}:9090`,
              OVERLOAD_LOOP_DELAY_MS: "10000"
            }
          })
          yield* begun(edge)
          const clients = yield* load(endpoint(address, 8080))
          yield* clients.more(20)
          let pid = edge.pid
          for (const restart of upTo(restarts)) {
            const long = yield* Effect.forEach(upTo(3), (index) =>
              transfer(endpoint(address, 8080), brazilian(index), 10 * restart + index)
            )
            const startedAt = performance.now()
            const next = yield* handOver(edge, pid)
            yield* tell(`${engine}: handover`, performance.now() - startedAt)
            // Those that the old process carries live on with it, and end as they would have.
            assert.isFalse(isGone(pid))
            const outcomes = yield* Effect.forEach(long, ({ finish }) => finish, { concurrency: 3 })
            assert.deepStrictEqual(outcomes, ["whole", "whole", "whole"])
            const old = pid
            yield* eventually("the end of the old process", () => isGone(old))
            pid = next
            yield* clients.more(5)
            const ready = yield* Effect.promise(() => fetch(`http://${address}:8081/ready`))
            assert.strictEqual(ready.status, 200)
            assert.strictEqual((yield* Effect.promise(() => fetch(`http://${address}:9090/metrics`))).status, 200)
          }
          const visits = yield* clients.stop
          assert.deepStrictEqual(mishaps(visits), {})
          assert.deepStrictEqual(errorsOf(edge), [])
          process.kill(pid, "SIGTERM")
          assert.strictEqual((yield* edge.exit).code, 0)
          assert.lengthOf(
            edge.logs.filter(({ message }) => message === "drained"),
            restarts + 1
          )
          // A failed accept, or a connection that two processes had told of, would show here.
          assert.strictEqual(new Set(edge.entries.map(({ conn }) => conn)).size, edge.entries.length)
          assert.isAtLeast(edge.entries.length, visits.length)
        }).pipe(Effect.scoped),
      patience + restarts * 8_000
    )

    it.live(
      "as systemd passes them: nobody is refused while there is no process at all",
      () =>
        Effect.gen(function* () {
          const { row } = yield* chaosBackend("a")
          const database = `${yield* scratch}/routing.db`
          createDatabase(database, [row()])
          const address = host()
          const bound = yield* listenSocket({
            address: endpoint(address, 8080),
            ipv6Only: false,
            backlog: 4_096,
            prerouteMs: 5_000,
            keepaliveMs: 0
          })
          yield* Effect.addFinalizer(() => Effect.sync(() => void close(bound.fd)))
          const start = Effect.gen(function* () {
            const edge = yield* spawnEdge({
              env: {
                ...defaults(database),
                TRANSPORT: engine,
                LISTEN_ADDR: `${address}:8080`,
                API_LISTEN_ADDR: "127.0.0.1:0",
                OVERLOAD_LOOP_DELAY_MS: "10000"
              },
              passed: [bound.fd]
            })
            yield* begun(edge)
            return edge
          })
          // Nobody is there yet, and it waits.
          const first = yield* Effect.forkScoped(visit(endpoint(address, 8080), brazilian(1), 1))
          let edge = yield* start
          const clients = yield* load(endpoint(address, 8080))
          for (const _ of upTo(3 * rounds)) {
            yield* clients.more(10)
            assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
            assert.deepInclude(edge.logs.at(-1), { message: "drained", forced: 0 })
            edge = yield* start
          }
          yield* clients.more(10)
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.strictEqual((yield* Fiber.join(first)).outcome, "whole")
          assert.strictEqual((yield* edge.stop).code, 0)
        }).pipe(Effect.scoped),
      patience + rounds * 20_000
    )
  })
}

describe("a handover", () => {
  /** A proxy that carries a transfer, at an address of its own. */
  const carrying = Effect.fnUntraced(function* (more: Readonly<Record<string, string>> = {}, ownBundle?: string) {
    const { port, row } = yield* chaosBackend("a")
    const database = `${yield* scratch}/routing.db`
    createDatabase(database, [row()])
    const address = host()
    const edge = yield* spawnEdge({
      env: { ...defaults(database), LISTEN_ADDR: `${address}:8080`, API_LISTEN_ADDR: `${address}:8081`, ...more },
      ...(ownBundle === undefined ? {} : { bundle: ownBundle })
    })
    yield* begun(edge)
    const going = yield* transfer(endpoint(address, 8080), brazilian(1), 1)
    return { address, edge, going, port }
  })

  const call = (address: string, method: string, path: string, body?: object) =>
    Effect.promise(async () => {
      const response = await fetch(`http://${address}:8081${path}`, {
        method,
        headers: { "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      })
      await response.arrayBuffer()
      return response.status
    })

  it.live(
    "leaves registered backends alone that tell the successor that they live, however long the old process drains",
    () =>
      Effect.gen(function* () {
        const { address, edge, going, port } = yield* carrying({
          HEARTBEAT_TTL_SECS: "2",
          SHUTDOWN_TIMEOUT_SECS: "600"
        })
        const registration = { id: "r", app: "shop", region: "sa", ip: "127.0.0.1", port }
        assert.strictEqual(yield* call(address, "POST", "/api/v1/register", registration), 201)
        const answers: Array<number> = []
        yield* call(address, "POST", "/api/v1/heartbeat/r").pipe(
          Effect.tap((answer) => Effect.sync(() => answers.push(answer))),
          Effect.andThen(Effect.sleep(330)),
          Effect.forever,
          Effect.forkScoped
        )
        const next = yield* handOver(edge, edge.pid)
        const before = answers.length
        // Longer than it takes to expire, and to be deleted.
        yield* eventually("66 answers", () => answers.length >= before + 66, 60_000)
        assert.deepStrictEqual(new Set(answers), new Set([200]))
        assert.isFalse(isGone(edge.pid))
        const told = edge.logs.filter(({ message }) => /not heard of|silent/.test(message))
        assert.deepStrictEqual(told, [])
        assert.strictEqual(yield* going.finish, "whole")
        process.kill(next, "SIGTERM")
        yield* edge.exit
      }).pipe(Effect.scoped),
    patience + 30_000
  )

  it.live("works when the next version already lies in the place of this one", () =>
    Effect.gen(function* () {
      const copy = `${yield* scratch}/dist`
      cpSync(bundleDirectory, copy, { recursive: true })
      const { edge, going } = yield* carrying({}, `${copy}/edgeproxy.js`)
      // What the next version calls otherwise.
      for (const name of readdirSync(`${copy}/chunks`))
        if (name.startsWith("Successor-")) rmSync(`${copy}/chunks/${name}`)
      const next = yield* handOver(edge, edge.pid)
      assert.strictEqual(yield* going.finish, "whole")
      process.kill(next, "SIGTERM")
      yield* edge.exit
    }).pipe(Effect.scoped)
  )

  it.live("is no reason for haste: the first signal that asks the old process to end lets it drain on", () =>
    Effect.gen(function* () {
      const { edge, going } = yield* carrying({ SHUTDOWN_TIMEOUT_SECS: "60" })
      const next = yield* handOver(edge, edge.pid)
      edge.signal("SIGTERM")
      yield* going.peer.awaitBytes(going.peer.received() + 200_000)
      assert.isFalse(isGone(edge.pid))
      assert.strictEqual(yield* going.finish, "whole")
      process.kill(next, "SIGTERM")
      yield* edge.exit
      assert.notInclude(
        edge.logs.map(({ message }) => message),
        "forced"
      )
    }).pipe(Effect.scoped)
  )

  it.live("is given up when the process is asked to end meanwhile: nobody is left to serve", () =>
    Effect.gen(function* () {
      const { address, edge, going } = yield* carrying()
      edge.signal("SIGUSR2")
      yield* edge.log("handing over")
      edge.signal("SIGTERM")
      yield* edge.log("no handover")
      assert.strictEqual(yield* going.finish, "whole")
      assert.strictEqual((yield* edge.exit).code, 0)
      const { outcome } = yield* visit(endpoint(address, 8080), brazilian(2), 2)
      assert.strictEqual(outcome, "ECONNREFUSED")
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(process.platform !== "linux").each(engines)("a TLS listener, engine %s", (TRANSPORT) => {
  const secured = Effect.provideService(Wire, { client: { ca: ca.chain, servername: "main.example" } })
  const restarts = 3 * rounds

  const scene = Effect.gen(function* () {
    const { row } = yield* chaosBackend("a")
    const database = `${yield* scratch}/routing.db`
    createDatabase(database, [row()])
    const address = host()
    const { env } = yield* certificates
    return {
      plain: endpoint(address, 8080),
      secure: endpoint(address, 8443),
      env: {
        ...defaults(database),
        ...env,
        TRANSPORT,
        TRANSPORT_THREADS: "2",
        LISTEN_ADDR: `${address}:8080`,
        TLS_LISTEN_ADDR: `${address}:8443`,
        API_LISTEN_ADDR: `${address}:8081`,
        OVERLOAD_LOOP_DELAY_MS: "10000"
      }
    }
  })

  it.live(
    `passes through ${restarts} handovers under load: no handshake fails, nothing is cut`,
    () =>
      Effect.gen(function* () {
        const { env, secure } = yield* scene
        const edge = yield* spawnEdge({ env })
        yield* begun(edge)
        const clients = yield* secured(load(secure))
        yield* clients.more(20)
        let pid = edge.pid
        for (const restart of upTo(restarts)) {
          const long = yield* Effect.forEach(upTo(3), (index) =>
            secured(transfer(secure, brazilian(index), 10 * restart + index))
          )
          const next = yield* handOver(edge, pid)
          assert.isFalse(isGone(pid))
          const outcomes = yield* Effect.forEach(long, ({ finish }) => finish, { concurrency: 3 })
          assert.deepStrictEqual(outcomes, ["whole", "whole", "whole"])
          const old = pid
          yield* eventually("the end of the old process", () => isGone(old))
          pid = next
          yield* clients.more(20)
        }
        const visits = yield* clients.stop
        assert.deepStrictEqual(mishaps(visits), {})
        assert.deepStrictEqual(errorsOf(edge), [])
        process.kill(pid, "SIGTERM")
        assert.strictEqual((yield* edge.exit).code, 0)
        assert.isAtLeast(edge.entries.length, visits.length)
      }).pipe(Effect.scoped),
    patience + restarts * 10_000
  )

  it.live(
    "is taken from systemd, and clients wait where there is no process",
    () =>
      Effect.gen(function* () {
        const { env, plain, secure } = yield* scene
        const passed = yield* Effect.forEach([plain, secure], (address) =>
          Effect.acquireRelease(
            listenSocket({ address, ipv6Only: false, backlog: 4_096, prerouteMs: 5_000, keepaliveMs: 0 }),
            ({ fd }) => Effect.sync(() => void close(fd))
          )
        )
        const first = yield* Effect.forkScoped(secured(visit(secure, brazilian(1), 1)))
        const fds = passed.map(({ fd }) => fd)
        let edge = yield* spawnEdge({ env, passed: fds })
        yield* begun(edge)
        const clients = yield* secured(load(secure))
        for (const _ of upTo(2 * rounds)) {
          yield* clients.more(10)
          assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
          edge = yield* spawnEdge({ env, passed: fds })
          yield* begun(edge)
        }
        yield* clients.more(10)
        assert.deepStrictEqual(mishaps(yield* clients.stop), {})
        assert.strictEqual((yield* Fiber.join(first)).outcome, "whole")
        assert.strictEqual((yield* edge.stop).code, 0)
      }).pipe(Effect.scoped),
    patience + rounds * 20_000
  )
})

describe("a handover that can't be", () => {
  it.live("leaves everything as it was, and says why", () =>
    Effect.gen(function* () {
      const { row } = yield* chaosBackend("a")
      const directory = yield* scratch
      const database = `${directory}/routing.db`
      createDatabase(database, [row()])
      // The successor finds another configuration than its predecessor: its access log can't be opened any more.
      const logs = `${directory}/logs`
      mkdirSync(logs)
      const address = host()
      const edge = yield* spawnEdge({
        env: {
          ...defaults(database),
          LISTEN_ADDR: `${address}:8080`,
          API_LISTEN_ADDR: `${address}:8081`,
          ACCESS_LOG: `${logs}/access.log`
        }
      })
      yield* begun(edge)
      const going = yield* transfer(endpoint(address, 8080), brazilian(1), 1)
      rmSync(logs, { recursive: true })
      edge.signal("SIGUSR2")
      const line = yield* edge.log("no handover; this process goes on")
      assert.match(line.message, /the successor has ended with 64/)
      assert.strictEqual((yield* visit(endpoint(address, 8080), brazilian(2), 2)).outcome, "whole")
      assert.strictEqual(yield* going.finish, "whole")
      assert.strictEqual((yield* edge.stop).code, 0)
    })
  )
})
