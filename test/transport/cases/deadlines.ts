import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { carry } from "../../support/dialog.ts"
import { plenty } from "../../support/plenty.ts"
import { echo, type Reading, refusing, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const LIMIT = 500
// A deadline may be late by the engine's tick and by whatever else the machine does.
const LATE = 3_000
/** A tenth of the limit apart: beyond it in the end, and none of them near it on a busy machine. */
const ROUNDS = 14

const bridged = Effect.fnUntraced(function* (
  limits: Rig.BridgeLimits,
  readings: { readonly client?: Reading; readonly backend?: Reading } = {}
) {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading: readings.backend ?? "fast" })
  const client = yield* rig.client({ reading: readings.client ?? "fast" })
  const since = performance.now()
  yield* rig.bridge(client.id, server.endpoint, limits)
  return { rig, client, backend: yield* server.peer(0), since }
})

/** The end, and that it came no sooner than `limit` after `since` and not much later. */
const endsAfter = Effect.fnUntraced(function* (rig: Rig.Rig, id: number, since: number, limit: number) {
  const ended = yield* rig.end(id)
  const took = performance.now() - since
  assert.isAtLeast(took, limit - 5)
  assert.isBelow(took, limit + LATE)
  return ended
})

const stalls = (rig: Rig.Rig, id: number) =>
  eventually("bytes waiting for a receiver", () => (rig.counts(id)?.waiting ?? 0) > 0)

export const cases: ReadonlyArray<Case> = [
  {
    name: "idle: no byte either way",
    run: Effect.gen(function* () {
      const { backend, client, rig, since } = yield* bridged({ idleMs: LIMIT })
      const ended = yield* endsAfter(rig, client.id, since, LIMIT)
      assert.strictEqual(Rig.why(ended), "proxy relay idle-timeout")
      assert.strictEqual(yield* client.peer.awaitClosed, "ECONNRESET")
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
    })
  },
  {
    name: "idle: bytes in either direction keep it open",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ idleMs: LIMIT })
      let since = performance.now()
      for (let round = 0; round < ROUNDS; round++) {
        yield* Effect.sleep(LIMIT / 10)
        since = performance.now()
        yield* (round % 2 === 0 ? client.peer : backend).send("x")
      }
      yield* endsAfter(rig, client.id, since, LIMIT)
      assert.deepStrictEqual([client.peer.received(), backend.received()], [ROUNDS / 2, ROUNDS / 2])
    })
  },
  {
    name: "fin: one side has finished, the other is silent",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ finMs: LIMIT, idleMs: 60_000 })
      yield* Effect.sleep(LIMIT + 100)
      assert.isUndefined(client.peer.closed())
      const since = performance.now()
      yield* backend.finish
      const ended = yield* endsAfter(rig, client.id, since, LIMIT)
      assert.strictEqual(Rig.why(ended), "proxy relay fin-timeout")
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
    })
  },
  {
    name: "fin: a side that goes on sending has time",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ finMs: LIMIT })
      yield* client.peer.finish
      let since = performance.now()
      for (let round = 0; round < ROUNDS; round++) {
        yield* Effect.sleep(LIMIT / 10)
        since = performance.now()
        yield* backend.send("x")
      }
      yield* endsAfter(rig, client.id, since, LIMIT)
      assert.strictEqual(client.peer.received(), ROUNDS)
    })
  },
  {
    name: "stall: the client takes nothing",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ stallMs: LIMIT }, { client: "stalled" })
      yield* Effect.forkScoped(backend.send(plenty()))
      yield* stalls(rig, client.id)
      const ended = yield* rig.end(client.id)
      assert.strictEqual(Rig.why(ended), "client relay stall-timeout")
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
    })
  },
  {
    name: "stall: the backend takes nothing",
    run: Effect.gen(function* () {
      const { client, rig } = yield* bridged({ stallMs: LIMIT }, { backend: "stalled" })
      yield* Effect.forkScoped(client.peer.send(plenty()))
      yield* stalls(rig, client.id)
      const ended = yield* rig.end(client.id)
      assert.strictEqual(Rig.why(ended), "backend relay stall-timeout")
      assert.strictEqual(yield* client.peer.awaitClosed, "ECONNRESET")
    })
  },
  {
    name: "stall: one direction stands, the other flows, and it is a stall all the same",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ stallMs: LIMIT }, { client: "stalled" })
      yield* Effect.forkScoped(backend.send(plenty()))
      const chatter = yield* Effect.forkScoped(Effect.forever(Effect.andThen(client.peer.send("x"), Effect.sleep(20))))
      const ended = yield* rig.end(client.id)
      yield* Fiber.interrupt(chatter)
      assert.strictEqual(Rig.why(ended), "client relay stall-timeout")
      assert.isAbove(backend.received(), 1)
    })
  },
  {
    name: "stall: a receiver that is slow but goes on taking bytes is none",
    run: Effect.gen(function* () {
      const slow: Reading = { bytes: 131_072, ms: 20 }
      const { backend, client, rig } = yield* bridged({ stallMs: 700 }, { client: slow })
      yield* carry(backend, client.peer, { seed: 8, size: 10_000_000, chunk: 2_000_000 })
      yield* client.peer.finish
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "backend relay fin")
    })
  },
  {
    name: "stall: a client that vanishes meanwhile is noticed",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ stallMs: LIMIT }, { backend: "stalled" })
      yield* Effect.forkScoped(client.peer.send(plenty()))
      yield* stalls(rig, client.id)
      yield* client.peer.reset
      const ended = yield* rig.end(client.id)
      assert.oneOf(Rig.why(ended), ["client relay rst", "backend relay stall-timeout"])
      backend.socket.resume()
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
    })
  },
  {
    name: "maximum age, however busy",
    run: Effect.gen(function* () {
      const { backend, client, rig, since } = yield* bridged({ maxAgeMs: LIMIT, idleMs: 60_000 })
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(backend.send("x"), Effect.sleep(10))))
      const ended = yield* endsAfter(rig, client.id, since, LIMIT)
      assert.strictEqual(Rig.why(ended), "proxy relay max-age")
    })
  },
  {
    name: "pre-route: an accepted connection that nobody bridges, whatever its client sends",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ prerouteMs: LIMIT })
      const since = performance.now()
      const client = yield* rig.client()
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(client.peer.send("x"), Effect.sleep(20))))
      const ended = yield* endsAfter(rig, client.id, since, LIMIT)
      assert.strictEqual(Rig.why(ended), "proxy pre-route preroute-timeout")
      assert.notStrictEqual(yield* client.peer.awaitClosed, "fin")
    })
  },
  {
    name: "pre-route: begins anew after a failed dial, and is cleared by one that succeeds",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ prerouteMs: LIMIT })
      const server = yield* serve({ onPeer: echo })
      const lost = yield* rig.client()
      const kept = yield* rig.client()
      yield* Effect.sleep(LIMIT / 2)
      const since = performance.now()
      for (const { id } of [lost, kept]) yield* Effect.flip(rig.bridge(id, refusing))
      yield* rig.bridge(kept.id, server.endpoint)
      assert.strictEqual(Rig.why(yield* endsAfter(rig, lost.id, since, LIMIT)), "proxy pre-route preroute-timeout")
      yield* kept.peer.send("ping")
      yield* kept.peer.awaitText("ping")
    })
  },
  {
    name: "no limit is no limit",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({})
      yield* backend.finish
      yield* client.peer.awaitFin
      yield* Effect.sleep(2 * LIMIT)
      assert.lengthOf(rig.ends, 0)
    })
  }
]
