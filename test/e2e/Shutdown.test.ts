import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { EdgeProcess } from "../support/EdgeProcess.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, greet, type Peer, type Reading, serve, type Server } from "../support/tcp.ts"
import { greeted, refusalOf, startWith, why } from "./setup.ts"

const HALF = 1_500_000

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

/** Connects a client and finds its connection at the backend. */
const pair = Effect.fnUntraced(function* (edge: EdgeProcess, server: Server, reading: Reading = "fast") {
  const index = server.peers.length
  const client = yield* connect(edge.address, { reading })
  return { client, backend: yield* server.peer(index) }
})

/** Exit code and the last log line, without its time. */
const ending = Effect.fnUntraced(function* (edge: EdgeProcess) {
  const { code } = yield* edge.exit
  const last = edge.logs.at(-1)
  return { code, message: last?.message, drained: last?.["drained"], forced: last?.["forced"] }
})

describe("shutdown", () => {
  it.live.each(["SIGTERM", "SIGINT"] as const)(
    "%s under load: nobody's transfer breaks, newcomers are refused",
    (signal) =>
      Effect.gen(function* () {
        const server = yield* serve({ reading: { bytes: 200_000, ms: 5 } })
        const edge = yield* startWith([rowOf("a", server, { hard_limit: 0 })])
        const pairs = yield* Effect.forEach(upTo(20), () => pair(edge, server, { bytes: 200_000, ms: 5 }))
        const closed = yield* Deferred.make<void>()
        // One half before the listeners close, the other one after.
        const carryHalves = Effect.fnUntraced(function* (from: Peer, to: Peer, seed: number) {
          const bytes = seededBytes(seed, 2 * HALF)
          yield* from.send(bytes.subarray(0, HALF))
          yield* Deferred.await(closed)
          yield* from.send(bytes.subarray(HALF))
          yield* from.finish
          yield* to.awaitFin
          assert.deepStrictEqual([to.received(), to.sha256()], [2 * HALF, sha256(bytes)])
        })
        const transfers = yield* Effect.forkScoped(
          Effect.forEach(
            pairs,
            ({ backend, client }, index) =>
              Effect.all([carryHalves(client, backend, index), carryHalves(backend, client, 100 + index)], {
                concurrency: 2
              }),
            { concurrency: "unbounded" }
          )
        )
        yield* Effect.forEach(pairs, ({ client }) => client.awaitBytes(100_000))
        edge.signal(signal)
        yield* edge.log("listeners closed")
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNREFUSED")
        yield* Deferred.succeed(closed, undefined)
        yield* Fiber.join(transfers)
        assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "drained", drained: 20, forced: 0 })
        assert.lengthOf(edge.entries, 20)
        assert.isTrue(edge.entries.every((entry) => entry.end_cause === "fin" && entry.bytes_out === 2 * HALF))
      })
  )

  it.live("an idle process ends at once", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([])
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "drained", drained: 0, forced: 0 })
      assert.isBelow(performance.now() - startedAt, 2_000)
    })
  )

  it.live("at the deadline the rest is closed: FIN for the silent, RST for those with bytes under way", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const edge = yield* startWith([rowOf("a", server)], { SHUTDOWN_TIMEOUT_SECS: "1.5" })
      const silent = yield* pair(edge, server)
      const busy = yield* pair(edge, server, "stalled")
      yield* Effect.forkScoped(busy.backend.send(seededBytes(1, 30_000_000)))
      const finished = yield* pair(edge, server)
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      yield* edge.log("listeners closed")
      yield* finished.client.finish
      yield* finished.backend.finish
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "forced", drained: 1, forced: 2 })
      assert.isAtLeast(performance.now() - startedAt, 1_450)
      assert.isBelow(performance.now() - startedAt, 6_000)
      yield* silent.client.awaitFin
      yield* silent.backend.awaitFin
      busy.client.socket.resume()
      assert.strictEqual(yield* busy.client.awaitClosed, "ECONNRESET")
      const causes = edge.entries.map(why).sort()
      assert.deepStrictEqual(causes, ["client relay fin", "proxy drain forced", "proxy drain forced"])
    })
  )

  it.live("a second signal closes at once", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", server)], { SHUTDOWN_GRACE_SECS: "20", SHUTDOWN_TIMEOUT_SECS: "60" })
      const clients = yield* Effect.forEach(upTo(5), () => greeted(edge.address))
      edge.signal("SIGTERM")
      yield* edge.log("draining")
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "forced", drained: 0, forced: 5 })
      assert.isBelow(performance.now() - startedAt, 3_000)
      for (const { peer } of clients) assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
      assert.lengthOf(edge.entries, 5)
    })
  )

  it.live("goes on accepting for the grace time", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", server)], { SHUTDOWN_GRACE_SECS: "0.6" })
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      yield* edge.log("draining")
      const { peer } = yield* greeted(edge.address)
      yield* edge.log("listeners closed")
      assert.isAtLeast(performance.now() - startedAt, 590)
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNREFUSED")
      yield* peer.send("last words")
      yield* peer.awaitText("last words")
      yield* peer.finish
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "drained", drained: 1, forced: 0 })
    })
  )

  it.live("spreads the forced closes over the pace time", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const env = { SHUTDOWN_TIMEOUT_SECS: "1.5", SHUTDOWN_PACE_SECS: "1.2" }
      const edge = yield* startWith([rowOf("a", server)], env)
      yield* Effect.forEach(upTo(6), () => greeted(edge.address))
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      const closings: Array<number> = []
      for (const count of upTo(6)) {
        yield* edge.entryCount(count + 1)
        closings.push(performance.now() - startedAt)
      }
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "forced", drained: 0, forced: 6 })
      assert.isAtLeast(closings[0] ?? 0, 290)
      assert.isAtLeast((closings[5] ?? 0) - (closings[0] ?? 0), 800)
      assert.isBelow(closings[5] ?? Infinity, 3_000)
    })
  )

  it.live("clients who wait in the accept queue are taken before the listener closes", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", server, { hard_limit: 0, soft_limit: 1_000 })])
      // While the process stands still, the kernel takes the clients and the signal for it.
      edge.signal("SIGSTOP")
      const clients = yield* Effect.forEach(upTo(200), () => connect(edge.address), { concurrency: "unbounded" })
      edge.signal("SIGTERM")
      edge.signal("SIGCONT")
      yield* edge.log("listeners closed")
      for (const client of clients) yield* client.awaitText("a\n")
      for (const client of clients) yield* client.finish
      assert.deepStrictEqual(yield* ending(edge), { code: 0, message: "drained", drained: 200, forced: 0 })
    })
  )
})
