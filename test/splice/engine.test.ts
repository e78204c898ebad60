import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { allocate, send, shutdown } from "../../layers/transport-splice/libc.ts"
import { MSG_NOSIGNAL, SHUT_WR } from "../../layers/transport-splice/linux.ts"
import * as SpliceTransport from "../../layers/transport-splice/SpliceTransport.ts"
import { defaultRestartPolicy, Supervisor } from "../../src/actor/Supervisor.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { farEnd } from "../support/farEnd.ts"
import { fdOf, socketAt } from "../support/kernelSockets.ts"
import { echo, type Peer, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import * as Rig from "../transport/Rig.ts"

const layer = SpliceTransport.layer({ threads: 1, maxConnections: 1_000, maxWarm: 100, fdLimit: 100_000 }).pipe(
  Layer.provide(Supervisor.layer)
)

const PLACES = 100
const soon = Supervisor.layerWith({ ...defaultRestartPolicy, firstDelayMs: 5, maxDelayMs: 5 }).pipe(
  Layer.provideMerge(Logger.layer([]))
)
const small = SpliceTransport.layer({ threads: 1, maxConnections: PLACES, maxWarm: 0, fdLimit: 100_000 }).pipe(
  Layer.provide(soon)
)

const MSG_OOB = 1

/** The number of a socket's descriptor, which Node does not tell. */
const fdOfPeer = ({ ports }: Peer): number => fdOf(socketAt(...ports)?.inode ?? 0) ?? -1

const sendRaw = (fd: number, bytes: Uint8Array, flags: number): void => {
  const memory = allocate(bytes.length)
  memory.bytes.set(bytes)
  assert.strictEqual(send(fd, memory.address, bytes.length, flags | MSG_NOSIGNAL), bytes.length)
}

describe.skipIf(process.platform !== "linux")("the splice engine", () => {
  it.live("what a busy connection has put off is not done to the next one in its slot", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      const bulk = yield* serve({ onPeer: ({ send }) => void Effect.runFork(send(seededBytes(1, 30_000_000))) })
      const quiet = yield* serve({ onPeer: echo })
      for (let round = 0; round < 4; round++) {
        const busy = yield* Effect.forEach(Array.from({ length: 6 }), () => rig.client())
        for (const { id } of busy) yield* rig.bridge(id, bulk.endpoint)
        for (const { peer } of busy) yield* peer.awaitBytes(2_000_000)
        for (const { id } of busy) {
          rig.transport.abort(id, "rst", { by: "proxy", phase: "relay", cause: "killed" })
        }
        for (const { id } of busy) yield* rig.end(id)
        const next = yield* Effect.forEach(Array.from({ length: 12 }), () => rig.client())
        for (const { id, peer } of next) {
          yield* rig.bridge(id, quiet.endpoint)
          yield* peer.send("mine")
        }
        for (const { id, peer } of next) {
          yield* peer.awaitText("mine")
          yield* peer.finish
          assert.strictEqual(Rig.why(yield* rig.end(id)), "client relay fin")
        }
      }
      assert.strictEqual(rig.transport.census().threadsLost, 0)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("a client that finishes and then resets is gone, not finished", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      for (let round = 0; round < 20; round++) {
        const { id, peer } = yield* rig.client()
        yield* rig.bridge(id, server.endpoint, { finMs: 60_000 })
        // In one go, so that the engine sees both together.
        sendRaw(fdOfPeer(peer), Buffer.from("question"), 0)
        shutdown(fdOfPeer(peer), SHUT_WR)
        yield* peer.reset
        assert.strictEqual(Rig.why(yield* rig.end(id)), "client relay rst")
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  for (const before of [10, 3_000_000]) {
    it.live(`urgent data after ${before} bytes stops nothing`, () =>
      Effect.gen(function* () {
        const rig = yield* Rig.make()
        const server = yield* serve()
        for (let round = 0; round < 5; round++) {
          const { id, peer } = yield* rig.client()
          const [head, tail] = [seededBytes(2, before), seededBytes(3, 1_000)]
          yield* rig.bridge(id, server.endpoint, { finMs: 5_000, stallMs: 5_000 })
          const backend = yield* server.peer(round)
          yield* peer.send(head)
          sendRaw(fdOfPeer(peer), Uint8Array.of(33), MSG_OOB)
          sendRaw(fdOfPeer(peer), tail, 0)
          yield* peer.finish
          yield* backend.awaitFin
          // The urgent byte itself is out of band.
          assert.strictEqual(backend.received(), before + 1_000)
          assert.strictEqual(backend.sha256(), sha256(new Uint8Array([...head, ...tail])))
          yield* backend.finish
          yield* rig.end(id)
        }
      }).pipe(Effect.scoped, Effect.provide(layer))
    )
  }

  it.live("threads that die while clients come cost no places", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      const { send } = yield* farEnd
      for (let round = 0; round < 30; round++) {
        const seen = rig.accepted.length
        const connecting = yield* Effect.forkChild(send({ do: "connect", to: rig.listener.address, count: PLACES }), {
          startImmediately: true
        })
        yield* rig.watch.until("clients", () => rig.accepted.length > seen)
        const { threadsLost } = rig.transport.census()
        SpliceTransport.killThread.get(rig.transport)?.(0)
        yield* eventually("loss of the thread", () => rig.transport.census().threadsLost > threadsLost)
        yield* Fiber.join(connecting)
        yield* send({ do: "leave" })
      }
      yield* send({ do: "connect", to: rig.listener.address, count: PLACES })
      yield* eventually(
        () => `${PLACES} connections, but ${rig.transport.census().connections}`,
        () => rig.transport.census().connections === PLACES
      )
    }).pipe(Effect.scoped, Effect.provide(small))
  )

  it.live("tells how much its threads have not heard yet, and forgets it with a thread", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      const { id } = yield* rig.client()
      const { threadsLost } = rig.transport.census()
      SpliceTransport.killThread.get(rig.transport)?.(0)
      // More than the ring holds, in one turn: nobody notices the death meanwhile.
      for (let said = 0; said < 200_000; said++) rig.transport.consume(id, 0)
      const { toThreadsBytes, waitingMessages } = rig.transport.census()
      assert.isAbove(toThreadsBytes, 100_000)
      assert.isAbove(waitingMessages, 1_000)
      yield* eventually("loss of the thread", () => rig.transport.census().threadsLost > threadsLost)
      assert.deepInclude(rig.transport.census(), { toThreadsBytes: 0, waitingMessages: 0 })
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("urgent data in the midst of bulk, with the end right behind it, costs no bytes", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      // In a process of its own it takes bytes at any time, so that mark and FIN find the engine at work.
      const { backend } = yield* farEnd
      const [head, tail] = [seededBytes(2, 3_000_000), seededBytes(3, 5_000)]
      const whole = sha256(new Uint8Array([...head, ...tail]))
      for (let round = 0; round < 60; round++) {
        const { id, peer } = yield* rig.client()
        yield* rig.bridge(id, backend)
        const fd = fdOfPeer(peer)
        yield* peer.send(head)
        sendRaw(fd, Uint8Array.of(33), MSG_OOB)
        sendRaw(fd, tail, 0)
        shutdown(fd, SHUT_WR)
        yield* peer.awaitFin
        assert.deepStrictEqual([peer.received(), peer.sha256()], [head.length + tail.length, whole])
        rig.transport.abort(id, "rst", { by: "proxy", phase: "relay", cause: "killed" })
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  for (const limit of ["finMs", "idleMs"] as const) {
    it.live(`a slow reader is not cut by ${limit} while its kernel still takes bytes`, () =>
      Effect.gen(function* () {
        const rig = yield* Rig.make()
        const bytes = seededBytes(4, 3_000_000)
        const server = yield* serve({
          onPeer: ({ finish, send }) => void Effect.runFork(Effect.andThen(send(bytes), finish))
        })
        const client = yield* rig.client({ reading: { bytes: 65_536, ms: 60 } })
        yield* rig.bridge(client.id, server.endpoint, { [limit]: 600 })
        yield* client.peer.awaitFin
        assert.deepStrictEqual([client.peer.received(), client.peer.sha256()], [bytes.length, sha256(bytes)])
      }).pipe(Effect.scoped, Effect.provide(layer))
    )
  }

  it.live("a dial that is given up as it succeeds leaves the client free for the next", () =>
    Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      for (let round = 0; round < 20; round++) {
        const { id, peer } = yield* rig.client()
        const dial = yield* rig.bridge(id, server.endpoint).pipe(Effect.forkChild({ startImmediately: true }))
        yield* server.peer(2 * round)
        yield* Fiber.interrupt(dial)
        // It was bridged in time after all, or is bridged now.
        yield* rig.bridge(id, server.endpoint).pipe(Effect.ignore, Effect.timeout(5_000))
        yield* peer.send("ping")
        yield* peer.awaitText("ping")
        yield* peer.finish
        yield* rig.end(id)
        yield* eventually("both dials", () => server.open() === 0)
        if (dial.pollUnsafe() === undefined) assert.fail("still dialling")
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
