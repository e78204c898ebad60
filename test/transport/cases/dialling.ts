import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { blackHole } from "../../support/blackHole.ts"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { plenty } from "../../support/plenty.ts"
import { echo, greet, refusing, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import * as Rig from "../Rig.ts"

/** The broadcast address of the loopback network: the kernel refuses to route TCP to it. */
const unreachable = { address: "127.255.255.255", port: 80 }

// The engine stops reading a client without a backend somewhere beyond this.
const EARLY_BYTES = 65_536

export const cases: ReadonlyArray<Case> = [
  {
    name: "and tells how long it took",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      const before = performance.now()
      const { connectUs } = yield* rig.bridge(client.id, server.endpoint)
      assert.isAtLeast(connectUs, 0)
      assert.isAtMost(connectUs, (performance.now() - before) * 1_000 + 1)
    })
  },
  {
    name: "a backend that speaks first",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: greet("220 ready") })
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.awaitText("220 ready\n")
      yield* client.peer.send("EHLO")
      yield* client.peer.awaitText("220 ready\nEHLO")
    })
  },
  ...[100, EARLY_BYTES, 3_000_000].map((size): Case => ({
    name: `${size} bytes sent before the dial reach the second candidate after a refused first`,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: { bytes: 262_144, ms: 1 } })
      const client = yield* rig.client()
      const bytes = seededBytes(size, size)
      yield* Effect.forkScoped(Effect.andThen(client.peer.send(bytes), client.peer.finish))
      yield* rig.cameEarly(client, Math.min(size, EARLY_BYTES))
      const refused = yield* Effect.flip(rig.bridge(client.id, refusing))
      assert.deepStrictEqual([refused.source, refused.reason], ["backend", "Refused"])
      yield* rig.bridge(client.id, server.endpoint)
      const backend = yield* server.peer(0)
      yield* backend.awaitFin
      assert.deepStrictEqual([backend.received(), backend.sha256()], [size, sha256(bytes)])
      yield* backend.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesIn, size)
    })
  })),
  {
    name: "early bytes are bounded: a client can't fill the memory before it has a backend",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const client = yield* rig.client()
      yield* Effect.forkScoped(client.peer.send(plenty()))
      yield* rig.cameEarly(client, EARLY_BYTES)
      yield* Effect.sleep(100)
      assert.isAtMost(rig.counts(client.id)?.waiting ?? Infinity, 4 * EARLY_BYTES)
    })
  },
  {
    name: "a refused connect is the backend's failure, and the client is untouched",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const error = yield* Effect.flip(rig.bridge(client.id, refusing))
      assert.deepStrictEqual([error.source, error.reason, error.code], ["backend", "Refused", "ECONNREFUSED"])
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.send("ping")
      yield* client.peer.awaitText("ping")
    })
  },
  {
    name: "no answer is a timeout at the dial's own deadline, and the client is untouched",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const startedAt = performance.now()
      const error = yield* Effect.flip(rig.bridge(client.id, hole, { connectMs: 300 }))
      const took = performance.now() - startedAt
      assert.deepStrictEqual([error.source, error.reason], ["backend", "Timeout"])
      assert.isAtLeast(took, 295)
      assert.isBelow(took, 3_000)
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.send("ping")
      yield* client.peer.awaitText("ping")
    })
  },
  {
    name: "no route is the backend's failure",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const client = yield* rig.client()
      const error = yield* Effect.flip(rig.bridge(client.id, unreachable))
      assert.deepStrictEqual([error.source, error.reason], ["backend", "Unreachable"])
    })
  },
  {
    name: "a client that finishes during the dial is served",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const dial = yield* Effect.forkScoped(Effect.flip(rig.bridge(client.id, hole, { connectMs: 400 })))
      yield* client.peer.send("question")
      yield* client.peer.finish
      yield* rig.cameEarly(client, 8)
      assert.strictEqual((yield* Fiber.join(dial)).reason, "Timeout")
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.awaitFin
      assert.strictEqual(client.peer.text(), "question")
      assert.strictEqual(yield* client.peer.awaitClosed, "fin")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay fin")
    })
  },
  {
    name: "a client that resets during the dial ends it",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const client = yield* rig.client()
      const startedAt = performance.now()
      const dial = yield* rig
        .bridge(client.id, hole, { connectMs: 10_000 })
        .pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
      yield* client.peer.send("question")
      yield* rig.cameEarly(client, 8)
      yield* client.peer.reset
      const error = yield* Fiber.join(dial)
      assert.deepStrictEqual([error.source, error.reason], ["client", "Gone"])
      const { abilities } = yield* EngineUnderTest
      const phase = abilities.includes("obeys at once") ? ["dial"] : ["dial", "pre-route"]
      assert.include(phase, (yield* rig.end(client.id)).phase)
      assert.isBelow(performance.now() - startedAt, 5_000)
    })
  },
  {
    name: "a client that resets during the dial ends it, also when its early bytes have filled the buffer",
    needs: "hears a reset behind unread bytes",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const client = yield* rig.client()
      yield* Effect.forkScoped(client.peer.send(seededBytes(1, 1_000_000)))
      yield* rig.cameEarly(client, EARLY_BYTES)
      const dial = yield* rig
        .bridge(client.id, hole, { connectMs: 3_000 })
        .pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
      yield* client.peer.reset
      assert.strictEqual((yield* Fiber.join(dial)).reason, "Gone")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client dial rst")
    })
  },
  {
    name: "an interrupted dial leaves the client for the next",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const dial = yield* rig.bridge(client.id, hole).pipe(Effect.forkChild({ startImmediately: true }))
      yield* Fiber.interrupt(dial)
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.send("ping")
      yield* client.peer.awaitText("ping")
    })
  },
  {
    name: "a backend that resets before any byte is given back, and the client gets the next one",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const bad = yield* serve()
      const good = yield* serve({ onPeer: greet("good") })
      const client = yield* rig.client()
      yield* rig.bridge(client.id, bad.endpoint, { finMs: 5_000 })
      const backend = yield* bad.peer(0)
      yield* backend.reset
      const [{ error, id }] = yield* rig.watch.until(
        "unbridged",
        () => rig.unbridged[0] && ([rig.unbridged[0]] as const)
      )
      assert.deepStrictEqual([id, error.source, error.reason], [client.id, "backend", "Reset"])
      assert.isUndefined(client.peer.closed())
      yield* rig.bridge(client.id, good.endpoint)
      yield* client.peer.awaitText("good\n")
      yield* client.peer.send("and on")
      yield* client.peer.awaitText("good\nand on")
      assert.lengthOf(rig.ends, 0)
    })
  },
  {
    name: "a client that finished before the backend's early reset gets the next one too",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const bad = yield* serve()
      const good = yield* serve({ onPeer: greet("good") })
      const client = yield* rig.client()
      yield* rig.bridge(client.id, bad.endpoint)
      const backend = yield* bad.peer(0)
      yield* client.peer.finish
      yield* backend.awaitFin
      yield* backend.reset
      yield* rig.watch.until("unbridged", () => rig.unbridged.length === 1)
      yield* rig.bridge(client.id, good.endpoint)
      yield* client.peer.awaitFin
      assert.strictEqual(client.peer.text(), "good\n")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay fin")
    })
  },
  {
    name: "a backend that finishes before any byte is an answer, not a failure",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: ({ socket }) => socket.end() })
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.awaitFin
      yield* client.peer.finish
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "backend relay fin")
      assert.lengthOf(rig.unbridged, 0)
    })
  },
  {
    name: "an unknown id, and one that has ended, are gone",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* client.peer.reset
      yield* rig.end(client.id)
      for (const id of [client.id, 4_000_000_000]) {
        const { reason, source } = yield* Effect.flip(rig.bridge(id, server.endpoint))
        assert.deepStrictEqual([source, reason], ["client", "Gone"])
      }
      assert.lengthOf(server.peers, 0)
    })
  }
]
