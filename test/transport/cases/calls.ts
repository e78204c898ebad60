import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Termination } from "../../../src/domain/Termination.ts"
import type { ConnectionId, DialError } from "../../../src/traffic/Transport.ts"
import { blackHole } from "../../support/blackHole.ts"
import { connect, echo, type Peer, refusing, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const killed: Termination = { by: "proxy", phase: "relay", cause: "killed" }

const ping = Effect.fnUntraced(function* (peer: Peer, word: string) {
  yield* peer.send(word)
  yield* peer.awaitText(word)
})

const gone = ({ reason, source }: DialError): void => assert.deepStrictEqual([source, reason], ["client", "Gone"])

export const cases: ReadonlyArray<Case> = [
  {
    name: "to bridge what already dials: the second is told gone, the first goes on",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const first = yield* Effect.forkChild(Effect.flip(rig.bridge(client.id, hole, { connectMs: 400 })), {
        startImmediately: true
      })
      gone(yield* Effect.flip(rig.bridge(client.id, server.endpoint)))
      assert.strictEqual((yield* Fiber.join(first)).reason, "Timeout")
      assert.lengthOf(server.peers, 0)
      yield* rig.bridge(client.id, server.endpoint)
      yield* ping(client.peer, "ping")
    })
  },
  {
    name: "to bridge what is bridged: it is told gone, and the relay goes on",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const other = yield* serve()
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint)
      yield* ping(client.peer, "before")
      gone(yield* Effect.flip(rig.bridge(client.id, other.endpoint)))
      const interrupted = yield* Effect.forkChild(rig.bridge(client.id, other.endpoint), { startImmediately: true })
      yield* Fiber.interrupt(interrupted)
      yield* ping(client.peer, "after")
      assert.lengthOf(other.peers, 0)
    })
  },
  {
    name: "many dials one after the other, given up, refused and made",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      yield* client.peer.send("early")
      for (let round = 0; round < 20; round++) {
        const given = yield* Effect.forkChild(rig.bridge(client.id, hole), { startImmediately: true })
        if (round % 2 === 0) yield* Effect.yieldNow
        yield* Fiber.interrupt(given)
        assert.strictEqual((yield* Effect.flip(rig.bridge(client.id, refusing))).reason, "Refused")
      }
      yield* rig.bridge(client.id, server.endpoint)
      yield* ping(client.peer, "early")
    })
  },
  {
    name: "to give a dial up while it succeeds: it has, or the next one does, or the connection ends; nobody is left waiting",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      for (let round = 0; round < 60; round++) {
        const client = yield* rig.client()
        yield* client.peer.send("early")
        const dial = yield* Effect.forkChild(rig.bridge(client.id, server.endpoint), { startImmediately: true })
        if (round % 3 === 1) yield* Effect.yieldNow
        if (round % 3 === 2) yield* Effect.sleep(0)
        yield* Fiber.interrupt(dial)
        if (Exit.isSuccess(yield* Fiber.await(dial))) {
          yield* client.peer.awaitText("early")
          continue
        }
        const next = yield* rig.bridge(client.id, server.endpoint).pipe(
          Effect.result,
          Effect.timeoutOrElse({
            duration: 3_000,
            orElse: () => Effect.die(new Error(`no answer to the dial after one that was given up, round ${round}`))
          })
        )
        if (next._tag === "Success") yield* client.peer.awaitText("early")
        else {
          gone(next.failure)
          yield* rig.end(client.id)
        }
      }
    })
  },
  {
    name: "to bridge in the very call that tells of a client",
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const bridging: Array<Effect.Effect<unknown, DialError>> = []
      const rig: Rig.Rig = yield* Rig.make({
        onAccept: ({ id }) => void bridging.push(Fiber.join(Effect.runFork(rig.bridge(id, server.endpoint))))
      })
      const clients = yield* Effect.forEach([1, 2, 3], () => rig.client())
      yield* Effect.all(bridging)
      for (const { peer } of clients) yield* ping(peer, "ping")
    })
  },
  ...(["fin", "rst"] as const).map((how): Case => ({
    name: `to abort with ${how} in the very call that tells of a client`,
    run: Effect.gen(function* () {
      const rig: Rig.Rig = yield* Rig.make({ onAccept: ({ id }) => rig.transport.abort(id, how, killed) })
      // A reset may be so fast that the client has hardly connected.
      const closed = yield* connect(rig.listener.address).pipe(
        Effect.tap((peer) => (how === "fin" ? Effect.andThen(peer.awaitFin, peer.finish) : Effect.void)),
        Effect.flatMap((peer) => peer.awaitClosed),
        Effect.catch(({ code }) => Effect.succeed(code))
      )
      assert.strictEqual(closed, how === "fin" ? "fin" : "ECONNRESET")
      const ended = yield* rig.watch.until("end", () => rig.ends[0])
      assert.strictEqual(Rig.why(ended), "proxy relay killed")
    })
  })),
  {
    name: "under the ids of connections that have ended, whose places others have: nobody feels it",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const stale: Array<ConnectionId> = []
      for (let round = 0; round < 50; round++) {
        const { id, peer } = yield* rig.client()
        if (round % 2 === 0) yield* rig.bridge(id, server.endpoint)
        yield* peer.reset
        yield* rig.end(id)
        stale.push(id)
      }
      const waiting = yield* rig.client()
      const relayed = yield* rig.client()
      yield* rig.bridge(relayed.id, server.endpoint)
      yield* waiting.peer.send("question")
      yield* rig.cameEarly(waiting, 8)
      const ids = [...stale, waiting.id, relayed.id]
      assert.strictEqual(new Set(ids).size, ids.length)
      for (const id of stale) {
        rig.transport.abort(id, "rst", killed)
        rig.transport.consume(id, 4)
        assert.isUndefined(rig.counts(id))
        gone(yield* Effect.flip(rig.bridge(id, server.endpoint)))
        assert.strictEqual((yield* Effect.flip(rig.transport.preread(id, "any", 10))).reason, "Gone")
      }
      yield* ping(relayed.peer, "ping")
      yield* rig.bridge(waiting.id, server.endpoint)
      yield* waiting.peer.awaitText("question")
      assert.lengthOf(rig.ends, 50)
    })
  },
  {
    name: "under ids that never were",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      for (const id of [0, -1, 1.5, 4_000_000_000, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
        rig.transport.abort(id, "rst", killed)
        rig.transport.consume(id, 1)
        assert.isUndefined(rig.counts(id), `counts of ${id}`)
        const bridged = yield* Effect.timeoutOption(Effect.flip(rig.bridge(id, server.endpoint)), 1_000)
        assert.strictEqual(bridged._tag, "Some", `bridge of ${id} is answered`)
        const shown = yield* Effect.timeoutOption(Effect.flip(rig.transport.preread(id, "any", 1)), 1_000)
        assert.strictEqual(shown._tag, "Some", `preread of ${id} is answered`)
      }
      assert.lengthOf(server.peers, 0)
    })
  }
]
