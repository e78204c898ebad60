import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { MAX_PRELUDE } from "../../../src/traffic/Transport.ts"
import { blackHole } from "../../support/blackHole.ts"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { greet, refusing, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const HEADER = "PROXY TCP4 203.0.113.7 198.51.100.1 50000 443\r\n"

const header = Buffer.from(HEADER)

export const cases: ReadonlyArray<Case> = [
  {
    name: "a prelude longer than it may be is refused, never cut",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      const error = yield* Effect.flip(
        rig.bridge(client.id, server.endpoint, { prelude: new Uint8Array(MAX_PRELUDE + 1) })
      )
      assert.deepStrictEqual([error.source, error.code], ["proxy", "EMSGSIZE"])
      yield* rig.bridge(client.id, server.endpoint, { prelude: new Uint8Array(MAX_PRELUDE) })
      yield* (yield* server.peer(0)).awaitBytes(MAX_PRELUDE)
    })
  },
  {
    name: "at once, also when the client says nothing",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint, { prelude: header })
      const backend = yield* server.peer(0)
      assert.strictEqual(yield* backend.awaitText(HEADER), HEADER)
      const counts = rig.counts(client.id)
      assert.deepStrictEqual([counts?.bytesIn, counts?.bytesOut], [0, 0])
    })
  },
  {
    name: "before what came before the dial and after it, and does not count it as traffic",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* client.peer.send("early ")
      yield* rig.cameEarly(client, 6)
      yield* rig.bridge(client.id, server.endpoint, { prelude: header })
      const backend = yield* server.peer(0)
      yield* client.peer.send("late")
      assert.strictEqual(yield* backend.awaitText("late"), `${HEADER}early late`)
      yield* backend.send("answer")
      yield* client.peer.awaitText("answer")
      yield* client.peer.finish
      yield* backend.awaitFin
      yield* backend.finish
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, Rig.why(ended)], [10, 6, "client relay fin"])
    })
  },
  {
    name: "to the client that has finished without a byte: it, and then FIN",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* client.peer.finish
      yield* rig.bridge(client.id, server.endpoint, { prelude: header })
      const backend = yield* server.peer(0)
      yield* backend.awaitFin
      assert.strictEqual(backend.text(), HEADER)
      yield* backend.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesIn, 0)
    })
  },
  {
    name: "only to the backend that takes the connection: each dial has its own",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* client.peer.send("early")
      yield* rig.cameEarly(client, 5)
      yield* Effect.flip(rig.bridge(client.id, refusing, { prelude: Buffer.from("first") }))
      yield* Effect.flip(rig.bridge(client.id, hole, { prelude: Buffer.from("second"), connectMs: 200 }))
      const given = yield* Effect.forkChild(rig.bridge(client.id, hole, { prelude: Buffer.from("third") }), {
        startImmediately: true
      })
      yield* Fiber.interrupt(given)
      yield* rig.bridge(client.id, server.endpoint, { prelude: header })
      const backend = yield* server.peer(0)
      assert.strictEqual(yield* backend.awaitText("early"), `${HEADER}early`)
    })
  },
  {
    name: "and none, though an earlier dial had one",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* Effect.flip(rig.bridge(client.id, refusing, { prelude: header }))
      yield* rig.bridge(client.id, server.endpoint, { prelude: new Uint8Array(0) })
      yield* client.peer.send("bare")
      assert.strictEqual(yield* (yield* server.peer(0)).awaitText("bare"), "bare")
    })
  },
  {
    name: "which is no byte of the client: a backend that resets upon it has served nobody yet",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const bad = yield* serve()
      const good = yield* serve({ onPeer: greet("good") })
      const client = yield* rig.client()
      yield* rig.bridge(client.id, bad.endpoint, { prelude: header })
      const backend = yield* bad.peer(0)
      yield* backend.awaitText(HEADER)
      yield* backend.reset
      yield* rig.watch.until("unbridged", () => rig.unbridged.length === 1)
      yield* rig.bridge(client.id, good.endpoint, { prelude: header })
      yield* client.peer.awaitText(`good\n${HEADER}`)
      yield* client.peer.send("and on")
      yield* client.peer.awaitText(`good\n${HEADER}and on`)
    })
  },
  ...[0, 100, 65_536, 2_000_000].map((size): Case => ({
    name: `of ${MAX_PRELUDE} bytes before ${size}, to a backend that reads late and slowly`,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: "stalled" })
      const client = yield* rig.client()
      const prelude = seededBytes(1, MAX_PRELUDE)
      const bytes = seededBytes(2, size)
      yield* Effect.forkScoped(Effect.andThen(client.peer.send(bytes), client.peer.finish))
      yield* rig.cameEarly(client, Math.min(size, 65_536))
      yield* rig.bridge(client.id, server.endpoint, { prelude })
      const backend = yield* server.peer(0)
      backend.socket.resume()
      yield* backend.awaitFin
      assert.strictEqual(backend.received(), MAX_PRELUDE + size)
      assert.strictEqual(backend.sha256(), sha256(Buffer.concat([prelude, bytes])))
      yield* backend.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesIn, size)
    })
  }))
]
