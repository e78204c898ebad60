import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../../src/traffic/Transport.ts"
import { carry, sendFlow } from "../../support/dialog.ts"
import { connect, type Reading, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const bridged = Effect.fnUntraced(function* (reading: Reading = "fast") {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading })
  const client = yield* rig.client({ reading })
  yield* rig.bridge(client.id, server.endpoint)
  return { rig, client, backend: yield* server.peer(0) }
})

const connectAndBridge = Effect.fnUntraced(function* (rig: Rig.Rig, to: Endpoint) {
  const client = yield* rig.client()
  yield* rig.bridge(client.id, to)
  return client
})

const slow: Reading = { bytes: 65_536, ms: 2 }

export const cases: ReadonlyArray<Case> = [
  {
    name: "the client finishes first: the answer still arrives whole",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(slow)
      yield* carry(client.peer, backend, { seed: 1, size: 70_000, chunk: 70_000 })
      yield* carry(backend, client.peer, { seed: 2, size: 5_000_000, chunk: 100_000 })
      assert.strictEqual(yield* client.peer.awaitClosed, "fin")
      assert.strictEqual(yield* backend.awaitClosed, "fin")
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn, ended.bytesOut], ["client relay fin", 70_000, 5_000_000])
    })
  },
  {
    name: "the backend finishes first: what the client goes on sending arrives whole",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(slow)
      yield* carry(backend, client.peer, { seed: 3, size: 10, chunk: 10 })
      yield* carry(client.peer, backend, { seed: 4, size: 5_000_000, chunk: 100_000 })
      assert.strictEqual(yield* client.peer.awaitClosed, "fin")
      assert.strictEqual(yield* backend.awaitClosed, "fin")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "backend relay fin")
    })
  },
  {
    name: "both finish at once with bytes still under way",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(slow)
      const up = carry(client.peer, backend, { seed: 5, size: 2_000_000, chunk: 2_000_000 })
      const down = carry(backend, client.peer, { seed: 6, size: 2_000_000, chunk: 2_000_000 })
      yield* Effect.all([up, down], { concurrency: 2 })
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([ended.cause, ended.phase, ended.bytesIn, ended.bytesOut], ["fin", "relay", 2e6, 2e6])
    })
  },
  {
    name: "a half-closed connection stays open as long as the other side wants",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      yield* client.peer.finish
      yield* backend.awaitFin
      for (const word of ["one", "two", "three"]) {
        yield* Effect.sleep(40)
        yield* backend.send(word)
        yield* client.peer.awaitText(word)
      }
      assert.isUndefined(client.peer.closed())
      yield* backend.finish
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay fin")
    })
  },
  {
    name: "the client's RST is passed on as RST",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      yield* client.peer.send("hello")
      yield* backend.awaitText("hello")
      yield* client.peer.reset
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn], ["client relay rst", 5])
    })
  },
  {
    name: "the backend's RST is passed on as RST",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      yield* backend.send("hello")
      yield* client.peer.awaitText("hello")
      yield* backend.reset
      assert.strictEqual(yield* client.peer.awaitClosed, "ECONNRESET")
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesOut], ["backend relay rst", 5])
      assert.lengthOf(rig.unbridged, 0)
    })
  },
  {
    name: "the backend's RST after nothing but the client's bytes is passed on too: they can't be sent again",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      yield* client.peer.send("question")
      yield* backend.awaitText("question")
      yield* backend.reset
      assert.strictEqual(yield* client.peer.awaitClosed, "ECONNRESET")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "backend relay rst")
      assert.lengthOf(rig.unbridged, 0)
    })
  },
  {
    name: "a RST after the own FIN is passed on as RST",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      yield* backend.send("half")
      yield* backend.finish
      yield* client.peer.awaitFin
      yield* client.peer.send("more")
      yield* backend.awaitText("more")
      yield* client.peer.reset
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay rst")
    })
  },
  {
    name: "a RST in the middle of a transfer ends it at once, and never as FIN",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(slow)
      yield* Effect.forkScoped(sendFlow(backend, { seed: 7, size: 50_000_000, chunk: 1_000_000 }))
      yield* client.peer.awaitBytes(500_000)
      yield* backend.reset
      assert.strictEqual(yield* client.peer.awaitClosed, "ECONNRESET")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "backend relay rst")
    })
  },
  {
    name: "before it is bridged a client may finish, and one that resets is told",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const client = yield* rig.client()
      yield* client.peer.send("early")
      yield* client.peer.finish
      const other = yield* rig.client()
      yield* other.peer.reset
      const ended = yield* rig.end(other.id)
      // A kernel that has told of a reset when something was written, as TLS does by itself, tells of an end when it is read.
      assert.oneOf(Rig.why(ended), ["client pre-route rst", "client pre-route truncated"])
      assert.strictEqual(ended.bytesIn, 0)
      assert.lengthOf(rig.ends, 1)
      assert.isUndefined(client.peer.closed())
    })
  },
  {
    name: "one end event each, whatever became of them",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: ({ socket }) => socket.pipe(socket) })
      const fates = ["finish", "reset", "abort", "backend reset", "never bridged"] as const
      yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => fates[index % fates.length] ?? "finish"),
        Effect.fnUntraced(function* (fate) {
          const { id, peer } = yield* rig.client()
          if (fate === "never bridged") return yield* peer.reset
          yield* rig.bridge(id, server.endpoint)
          yield* peer.send("ping")
          yield* peer.awaitText("ping")
          if (fate === "finish") yield* peer.finish
          else if (fate === "reset") yield* peer.reset
          else if (fate === "abort") rig.transport.abort(id, "rst", { by: "proxy", phase: "relay", cause: "killed" })
          else for (const backend of server.peers) if (backend.text() === "ping") yield* backend.reset
        }),
        { discard: true }
      )
      yield* rig.watch.until(
        () => `100 ends, but ${rig.ends.length}`,
        () => rig.ends.length >= 100
      )
      assert.strictEqual(new Set(rig.ends.map(({ id }) => id)).size, 100)
      // The engine goes on.
      const { id, peer } = yield* connectAndBridge(rig, server.endpoint)
      yield* peer.send("still there")
      yield* peer.awaitText("still there")
      yield* peer.finish
      assert.strictEqual(Rig.why(yield* rig.end(id)), "client relay fin")
    })
  },
  {
    name: "a client that only connects and goes is told once",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const peer = yield* connect(rig.listener.address)
      yield* peer.reset
      const { peer: second } = yield* rig.client()
      yield* second.reset
      yield* rig.watch.until("ends of all", () => rig.ends.length === rig.accepted.length)
    })
  }
]
