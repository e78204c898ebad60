import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { apiOf } from "../support/edgeApi.ts"
import { type EdgeProcess, scratch } from "../support/EdgeProcess.ts"
import { parse } from "../support/exposition.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, greet, type Peer, type Server, serve } from "../support/tcp.ts"
import { greeted, startWith, why } from "./setup.ts"

const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

const on = {
  POOL_ENABLED: "true",
  POOL_IDLE_TIMEOUT_SECS: "30",
  METRICS_ENABLED: "true",
  METRICS_LISTEN_ADDR: "127.0.0.1:0"
}

/** The metrics come to say that so many connections opened ahead had this fate. */
const counted = Effect.fnUntraced(function* (edge: EdgeProcess, event: string, count: number) {
  const { address } = yield* edge.log("metrics endpoint")
  const read = Effect.promise(async () => parse(await (await fetch(`http://${String(address)}/metrics`)).text()))
  while ((yield* read).value("edgeproxy_warm_connections_total", { event }) !== count) yield* Effect.sleep(50)
})

/** As many connections have been made to it. */
const connections = (server: Server, count: number) =>
  server.watch.until(`${count} connections`, () => server.peers.length >= count)

/** Whom a connection of the backend serves, by the first bytes of its client. */
const clientOf = (peer: Peer): string => peer.text().split(";", 1)[0] ?? ""

for (const TRANSPORT of engines) {
  describe(`a warm pool, engine ${TRANSPORT}`, () => {
    it.live("the second client is spared the dial, gets the greeting at once, and nobody gets it again", () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: greet("mail") })
        const edge = yield* startWith([rowOf("mail", server)], { ...on, TRANSPORT })
        const api = yield* apiOf(edge)
        const first = yield* greeted(edge.address)
        yield* connections(server, 2)
        yield* counted(edge, "opened", 1)
        yield* api.until("/api/v1/backends/mail", ({ body }) => body["warm"] === 1 && body["connections"] === 1)
        const second = yield* greeted(edge.address)
        assert.strictEqual(second.name, "mail")
        yield* second.peer.send("second;")
        yield* second.peer.awaitText("second;")
        assert.strictEqual(server.peers[1]?.text(), "second;")
        // Its successor, and not a second one.
        yield* connections(server, 3)
        yield* counted(edge, "used", 1)
        yield* second.peer.finish
        const entry = yield* edge.entry(({ bytes_in }) => bytes_in === 7)
        assert.deepStrictEqual([entry.attempts, why(entry)], [1, "client relay fin"])
        assert.strictEqual(entry.bytes_out, "mail\nsecond;".length)
        yield* first.peer.finish
        assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
        yield* (yield* server.peer(2)).awaitClosed
        assert.strictEqual(server.peers[2]?.received(), 0)
      })
    )

    it.live("of 200 clients each has a connection of its own, with all its bytes", () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: (peer) => void peer.socket.on("end", () => peer.socket.end("done")) })
        const edge = yield* startWith([rowOf("b1", server, { hard_limit: 0 })], { ...on, TRANSPORT })
        const one = Effect.fnUntraced(function* (index: number) {
          const peer = yield* connect(edge.address)
          const bytes = Buffer.concat([Buffer.from(`client ${index};`), seededBytes(index, 20_000)])
          yield* peer.send(bytes)
          yield* peer.finish
          assert.strictEqual(yield* peer.awaitClosed, "fin")
          assert.strictEqual(peer.text(), "done")
          return sha256(bytes)
        })
        const hashes = yield* Effect.forEach(
          Array.from({ length: 200 }, (_, index) => index),
          (index) => Effect.scoped(one(index)),
          { concurrency: 4 }
        )
        const carried = server.peers.filter((peer) => peer.received() > 0)
        assert.deepStrictEqual(carried.map((peer) => peer.sha256()).sort(), [...hashes].sort())
        assert.strictEqual(new Set(carried.map(clientOf)).size, 200)
        yield* edge.stop
      })
    )
  })
}

describe("a warm pool that is turned on and off in the watched file", () => {
  it.live("opens connections ahead from then on, and closes them again", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("b1") })
      const CONFIG_PATH = join(yield* scratch, "config.toml")
      writeFileSync(CONFIG_PATH, "")
      const edge = yield* startWith([rowOf("b1", server)], {
        CONFIG_WATCH_ENABLED: "true",
        CONFIG_WATCH_INTERVAL_SECS: "0.1",
        CONFIG_PATH
      })
      const api = yield* apiOf(edge)
      const warm = (count: number) => api.until("/api/v1/backends/b1", ({ body }) => body["warm"] === count)
      yield* Effect.scoped(greeted(edge.address))
      yield* edge.entryCount(1)
      assert.lengthOf(server.peers, 1)
      writeFileSync(CONFIG_PATH, "pool_enabled = true\n")
      yield* edge.log(({ message }) => message.includes("changed"))
      // It is applied some time after it was said.
      while ((yield* api.call("GET", "/api/v1/backends/b1")).body["warm"] === 0) {
        yield* Effect.scoped(greeted(edge.address))
      }
      yield* warm(1)
      writeFileSync(CONFIG_PATH, "pool_enabled = false\n")
      yield* warm(0)
      yield* edge.stop
    })
  )
})
