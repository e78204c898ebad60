import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Termination } from "../../../src/domain/Termination.ts"
import { type Endpoint, Transport } from "../../../src/traffic/Transport.ts"
import { exchange } from "../../support/dialog.ts"
import { leaveFds } from "../../support/fdLimit.ts"
import { countFds } from "../../support/fds.ts"
import { connect, echo, type Peer, type Reading, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import * as Rig from "../Rig.ts"

const skip = countFds() === undefined

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const ping = Effect.fnUntraced(function* (peer: Peer, word: string) {
  yield* peer.send(word)
  yield* peer.awaitText(word)
})

/** A rig that bridges whatever it accepts, with one client that is served. */
const serving = Effect.fnUntraced(function* () {
  const server = yield* serve({ onPeer: echo })
  const rig: Rig.Rig = yield* Rig.make({
    onAccept: ({ id }) => void Effect.runFork(Effect.ignore(rig.bridge(id, server.endpoint)))
  })
  const running = yield* rig.client()
  yield* ping(running.peer, "before")
  return { rig, running, server }
})

/** So many clients connect and say their number, while the listener is paused; what to wait for until each is served. */
const crowd = (to: Endpoint, count: number) =>
  Effect.forEach(upTo(count), (index) =>
    Effect.map(connect(to), (peer) => {
      peer.socket.write(`client ${index}`)
      return peer.awaitText(`client ${index}`)
    })
  )

const areServed = (waiting: ReadonlyArray<Effect.Effect<string>>) =>
  Effect.all(waiting, { concurrency: "unbounded", discard: true })

const killed: Termination = { by: "proxy", phase: "relay", cause: "killed" }

const readings: ReadonlyArray<readonly [name: string, reading: Reading]> = [
  ["", "fast"],
  [", to slow readers", { bytes: 1_048_576, ms: 5 }]
]

export const cases: ReadonlyArray<Case> = [
  {
    name: "of descriptors at accept: clients wait in the backlog, it is told, and they are served when there are some",
    needs: "says that it can't accept",
    skip,
    run: Effect.gen(function* () {
      const { rig, running, server } = yield* serving()
      rig.listener.pause("limit")
      yield* ping(running.peer, "paused")
      const waiting = yield* crowd(rig.listener.address, 20)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(0)
          rig.listener.resume()
          yield* rig.watch.until("word of it", () => rig.acceptErrors() > 0)
          assert.deepStrictEqual([...rig.acceptCodes], ["EMFILE"])
          // It tries again and again, and can't; who was there before feels nothing.
          yield* rig.watch.until("word of it again", () => rig.acceptErrors() > 1)
          yield* ping(running.peer, "still")
          assert.lengthOf(rig.accepted, 1)
          assert.lengthOf(server.peers, 1)
          assert.strictEqual(rig.transport.census().connections, 1)
        })
      )
      yield* areServed(waiting)
      assert.lengthOf(rig.accepted, 21)
      assert.strictEqual(rig.transport.census().connections, 21)
    })
  },
  {
    name: "of descriptors at accept: whoever comes is let go, those that run feel nothing, and it recovers by itself",
    lacks: "says that it can't accept",
    skip,
    run: Effect.gen(function* () {
      const { rig, running } = yield* serving()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(1)
          const peer = yield* connect(rig.listener.address)
          yield* peer.watch.until("farewell", () => peer.socket.readableEnded || peer.closed() !== undefined)
          yield* ping(running.peer, "still")
        })
      )
      assert.lengthOf(rig.accepted, 1)
      yield* ping((yield* rig.client()).peer, "next")
      yield* ping(running.peer, "and on")
    })
  },
  {
    name: "of descriptors at accept, again and again: nobody is lost, nothing stays",
    needs: "says that it can't accept",
    skip,
    run: Effect.gen(function* () {
      const { rig, running } = yield* serving()
      const before = countFds() ?? 0
      for (let round = 1; round <= 5; round++) {
        rig.listener.pause("limit")
        yield* ping(running.peer, `round ${round}`)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const waiting = yield* crowd(rig.listener.address, 10)
            const told = rig.acceptErrors()
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* leaveFds(round % 2)
                rig.listener.resume()
                yield* rig.watch.until("word of it", () => rig.acceptErrors() > told)
              })
            )
            // One may have been accepted that could not be dialled for.
            yield* areServed(waiting.slice(round % 2))
          })
        )
        for (const { id } of rig.accepted.slice(1)) rig.transport.abort(id, "rst", killed)
        yield* rig.watch.until("end of all but one", () => rig.ends.length === rig.accepted.length - 1)
        yield* eventually(
          () => `as many descriptors as before: ${before}, now ${countFds()}`,
          () => (countFds() ?? 0) <= before
        )
      }
      assert.strictEqual(rig.accepted.length, 51)
    })
  },
  {
    name: "of descriptors at a dial: the proxy's failure, the client is untouched, and the next dial has it whole",
    skip,
    run: Effect.gen(function* () {
      const { running, server } = yield* serving()
      const other = yield* Rig.make()
      const client = yield* other.client()
      yield* client.peer.send("question")
      yield* other.cameEarly(client, 8)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(0)
          for (let round = 0; round < 3; round++) {
            const error = yield* Effect.flip(other.bridge(client.id, server.endpoint))
            assert.deepStrictEqual([error.source, error.reason, error.code], ["proxy", "NoFds", "EMFILE"])
          }
          yield* ping(running.peer, "still")
        })
      )
      assert.isUndefined(client.peer.closed())
      assert.lengthOf(server.peers, 1)
      yield* other.bridge(client.id, server.endpoint)
      yield* client.peer.awaitText("question")
      yield* client.peer.finish
      assert.strictEqual(Rig.why(yield* other.end(client.id)), "client relay fin")
    })
  },
  ...readings.map(([name, reading]): Case => ({
    name: `of descriptors for pipes: bytes are copied, and arrive whole${name}`,
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading })
      // Those of earlier connections go when there is none for a while.
      yield* eventually("end of the pipes", () => rig.transport.census().pipes === 0)
      const client = yield* rig.client({ reading })
      yield* rig.bridge(client.id, server.endpoint)
      const backend = yield* server.peer(0)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(0)
          yield* exchange(
            client.peer,
            backend,
            { seed: 1, size: 20_000_000, chunk: 1_000_000 },
            { seed: 2, size: 20_000_000, chunk: 1_000_000 }
          )
          assert.strictEqual(rig.transport.census().pipes, 0)
        })
      )
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, ended.cause], [20_000_000, 20_000_000, "fin"])
    })
  })),
  {
    name: "of descriptors for a listener: that is said, and nothing stays of it",
    skip,
    run: Effect.gen(function* () {
      const { census } = yield* Transport
      const before = census().listeners
      const error = yield* Effect.scoped(Effect.andThen(leaveFds(0), Effect.flip(Rig.make())))
      assert.strictEqual(error.reason, "NoFds")
      assert.strictEqual(census().listeners, before)
      yield* (yield* Rig.make()).client()
    })
  },
  {
    name: "of places: who comes beyond waits in the backlog, and is served when one is free",
    threads: true,
    run: Effect.gen(function* () {
      const { other } = yield* EngineUnderTest
      if (other === undefined) return
      yield* Effect.gen(function* () {
        const { rig, running } = yield* serving()
        const ahead = yield* Effect.forEach(upTo(9), () => rig.client())
        const waiting = yield* crowd(rig.listener.address, 30)
        yield* ping(running.peer, "still")
        assert.lengthOf(rig.accepted, 10)
        assert.strictEqual(rig.transport.census().connections, 10)
        assert.strictEqual(rig.acceptErrors(), 0)
        for (const { peer } of ahead) yield* peer.reset
        yield* Effect.forEach(
          waiting,
          (answer, index) =>
            Effect.gen(function* () {
              yield* answer
              assert.isAtMost(rig.transport.census().connections, 10)
              rig.transport.abort(rig.accepted[10 + index]?.id ?? 0, "rst", killed)
            }),
          { concurrency: "unbounded", discard: true }
        )
        yield* ping(running.peer, "and on")
        assert.lengthOf(rig.accepted, 40)
      }).pipe(Effect.scoped, Effect.provide(other({ threads: 1, maxConnections: 10 })))
    })
  }
]
