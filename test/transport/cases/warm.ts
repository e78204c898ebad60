import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import { MAX_GREETING, type WarmId } from "../../../src/traffic/Transport.ts"
import { blackHole } from "../../support/blackHole.ts"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { exchange } from "../../support/dialog.ts"
import { countFds } from "../../support/fds.ts"
import { hasProc, socketAt } from "../../support/kernelSockets.ts"
import { echo, greet, type Peer, refusing, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import * as Ahead from "../ahead.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import { kill } from "../loss.ts"
import * as Rig from "../Rig.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const make = Effect.fnUntraced(function* () {
  const rig = yield* Rig.make()
  return { rig, ahead: Ahead.make(rig.transport) }
})

/** The engine's end of it has heard that the backend has gone. */
const isOver = ({ ports: [local, remote] }: Peer): Effect.Effect<boolean> =>
  eventually("end of a backend in the kernel", () => socketAt(remote, local)?.established !== true)

const noneLeft = (rig: Rig.Rig): Effect.Effect<boolean> =>
  eventually(
    () => `end of what was opened ahead: ${rig.transport.census().warm}`,
    () => rig.transport.census().warm === 0
  )

/** The client is served by a dial, as if nothing had been. */
const servedAfresh = Effect.fnUntraced(function* (rig: Rig.Rig, client: Rig.Client) {
  const server = yield* serve({ onPeer: echo })
  yield* rig.bridge(client.id, server.endpoint)
  yield* client.peer.send("afresh")
  yield* client.peer.awaitText("afresh")
})

export const cases: ReadonlyArray<Case> = [
  {
    name: "and carries a client's bytes over one, both ways, without a further dial",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const warm = yield* ahead.open(server.endpoint)
      assert.strictEqual(rig.transport.census().warm, 1)
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint, { warm })
      assert.strictEqual(rig.transport.census().warm, 0)
      const backend = yield* server.peer(0)
      yield* exchange(
        client.peer,
        backend,
        { seed: 1, size: 3_000_000, chunk: 70_000 },
        { seed: 2, size: 3_000_000, chunk: 70_000 }
      )
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, ended.cause], [3_000_000, 3_000_000, "fin"])
      assert.lengthOf(server.peers, 1)
      assert.strictEqual(ahead.losses.size, 0)
    })
  },
  {
    name: "to one that the client's early bytes and a prelude are sent, in order",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const warm = yield* ahead.open(server.endpoint)
      const client = yield* rig.client()
      yield* client.peer.send("early ")
      yield* rig.cameEarly(client, 6)
      yield* rig.bridge(client.id, server.endpoint, { warm, prelude: Buffer.from("PROXY ") })
      yield* client.peer.send("late")
      assert.strictEqual(yield* (yield* server.peer(0)).awaitText("late"), "PROXY early late")
    })
  },
  {
    name: "and hands over what the server has said first, at once and to the client only",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: greet("220 mail.example.com ESMTP") })
      const warm = yield* ahead.open(server.endpoint)
      yield* ahead.open(server.endpoint)
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint, { warm })
      yield* client.peer.awaitText("220 mail.example.com ESMTP\n")
      yield* client.peer.send("EHLO")
      assert.strictEqual(yield* client.peer.awaitText("EHLO"), "220 mail.example.com ESMTP\nEHLO")
      yield* client.peer.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesOut, 31)
    })
  },
  {
    name: "a greeting may be long, and the rest of the stream follows it unchanged",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const greeting = seededBytes(3, MAX_GREETING)
      const rest = seededBytes(4, 1_000_000)
      const server = yield* serve({ onPeer: ({ socket }) => void socket.write(greeting) })
      const warm = yield* ahead.open(server.endpoint)
      const backend = yield* server.peer(0)
      const client = yield* rig.client({ reading: "stalled" })
      yield* rig.bridge(client.id, server.endpoint, { warm })
      client.peer.socket.resume()
      yield* backend.send(rest)
      yield* backend.finish
      yield* client.peer.awaitFin
      assert.strictEqual(client.peer.sha256(), sha256(Buffer.concat([greeting, rest])))
    })
  },
  {
    name: "who says more than a greeting before there is a client is given up",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: ({ socket }) => void socket.write(seededBytes(5, MAX_GREETING + 1)) })
      const warm = ahead.begin(server.endpoint)
      const error = yield* ahead.loss(warm)
      assert.deepStrictEqual([error.source, error.reason, error.code], ["backend", "WarmGone", "EMSGSIZE"])
      const backend = yield* server.peer(0)
      yield* backend.finish
      yield* backend.awaitClosed
      yield* noneLeft(rig)
    })
  },
  {
    name: "and tells why one could not be opened",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const hole = yield* blackHole()
      const refused = ahead.begin(refusing)
      const late = ahead.begin(hole, { connectMs: 200 })
      const nowhere = ahead.begin({ address: "no address", port: 80 })
      const why = ({ reason, source }: { readonly source: string; readonly reason: string }) => `${source} ${reason}`
      assert.strictEqual(why(yield* ahead.loss(refused)), "backend Refused")
      assert.strictEqual(why(yield* ahead.loss(late)), "backend Timeout")
      assert.notInclude(why(yield* ahead.loss(nowhere)), "WarmGone")
      assert.isFalse(ahead.opened(refused) || ahead.opened(late) || ahead.opened(nowhere))
      yield* noneLeft(rig)
    })
  },
  {
    name: "and tells of one that the backend closes or resets",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const closed = yield* ahead.open(server.endpoint)
      const first = yield* server.peer(0)
      const reset = yield* ahead.open(server.endpoint)
      const second = yield* server.peer(1)
      yield* first.finish
      yield* second.reset
      assert.deepStrictEqual(
        [(yield* ahead.loss(closed)).reason, (yield* ahead.loss(closed)).code],
        ["WarmGone", "FIN"]
      )
      assert.deepStrictEqual((yield* ahead.loss(reset)).code, "ECONNRESET")
      yield* first.awaitClosed
      yield* noneLeft(rig)
    })
  },
  {
    name: "and closes one that is not wanted any more, in order; twice is once",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: greet("hello") })
      const hole = yield* blackHole()
      const warm = yield* ahead.open(server.endpoint)
      const dialling = ahead.begin(hole)
      const backend = yield* server.peer(0)
      rig.transport.discard(warm)
      rig.transport.discard(warm)
      rig.transport.discard(dialling)
      rig.transport.discard(123_456_789)
      yield* backend.awaitFin
      yield* backend.finish
      assert.strictEqual(yield* backend.awaitClosed, "fin")
      yield* noneLeft(rig)
      assert.strictEqual(ahead.losses.size, 0)
    })
  },
  {
    name: "and gives none away twice, nor one that is lost, discarded, not open yet or unknown",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: echo })
      const hole = yield* blackHole()
      const used = yield* ahead.open(server.endpoint)
      const first = yield* rig.client()
      yield* rig.bridge(first.id, server.endpoint, { warm: used })
      const lost = ahead.begin(refusing)
      yield* ahead.loss(lost)
      const discarded = yield* ahead.open(server.endpoint)
      rig.transport.discard(discarded)
      const dialling = ahead.begin(hole)
      for (const warm of [used, lost, discarded, dialling, 0, -1, 123_456_789]) {
        const client = yield* rig.client()
        const error = yield* Effect.flip(rig.bridge(client.id, server.endpoint, { warm }))
        assert.strictEqual(error.reason, "WarmGone")
        yield* servedAfresh(rig, client)
      }
      yield* first.peer.send("still mine")
      yield* first.peer.awaitText("still mine")
      yield* noneLeft(rig)
    })
  },
  {
    name: "and closes one whose client is gone or may not have it: it does not stay with nobody",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* client.peer.reset
      yield* rig.end(client.id)
      const other = yield* rig.client()
      for (const bridge of [
        rig.bridge(client.id, server.endpoint, { warm: yield* ahead.open(server.endpoint) }),
        rig.bridge(12_345, server.endpoint, { warm: yield* ahead.open(server.endpoint) }),
        rig.bridge(other.id, server.endpoint, {
          warm: yield* ahead.open(server.endpoint),
          prelude: new Uint8Array(5_000)
        })
      ]) {
        assert.notStrictEqual((yield* Effect.flip(bridge)).reason, "WarmGone")
      }
      for (const index of upTo(3)) yield* (yield* server.peer(index)).awaitFin
      yield* noneLeft(rig)
      yield* servedAfresh(rig, other)
    })
  },
  ...(["closed", "reset"] as const).map((how): Case => ({
    name: `and finds out at the hand-over that one was ${how} just before`,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      for (const index of upTo(20)) {
        const warm = yield* ahead.open(server.endpoint)
        const backend = yield* server.peer(index)
        const client = yield* rig.client()
        yield* client.peer.send("early")
        yield* rig.cameEarly(client, 5)
        // In one turn: the engine has not heard of it, the kernel has.
        if (how === "closed") backend.socket.destroy()
        else backend.socket.resetAndDestroy()
        const error = yield* Effect.flip(rig.bridge(client.id, server.endpoint, { warm }))
        assert.strictEqual(error.reason, "WarmGone")
        assert.strictEqual(backend.received(), 0)
        yield* servedAfresh(rig, client)
      }
      yield* noneLeft(rig)
    })
  })),
  ...(["closes", "resets"] as const).map((how): Case => ({
    name: `the backend ${how} one after the hand-over, before a byte: the client is untouched`,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const warm = yield* ahead.open(server.endpoint)
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint, { warm })
      const backend = yield* server.peer(0)
      yield* how === "closes" ? backend.finish : backend.reset
      yield* rig.watch.until("unbridged", () => rig.unbridged.length === 1)
      assert.strictEqual(rig.unbridged[0]?.error.reason, "WarmGone")
      yield* backend.awaitClosed
      yield* servedAfresh(rig, client)
    })
  })),
  {
    name: "the backend closes one whose client has finished without a byte: that is an end",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve()
      const warm = yield* ahead.open(server.endpoint)
      const client = yield* rig.client()
      yield* client.peer.finish
      yield* rig.bridge(client.id, server.endpoint, { warm })
      const backend = yield* server.peer(0)
      yield* backend.awaitFin
      yield* backend.finish
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay fin")
      assert.lengthOf(rig.unbridged, 0)
    })
  },
  {
    name: "the backend closes one after its greeting, or after a byte of the client: that is an end",
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: (peer) => void peer.socket.write("hello\n") })
      const warm = yield* ahead.open(server.endpoint)
      const greeted = yield* rig.client()
      yield* rig.bridge(greeted.id, server.endpoint, { warm })
      yield* greeted.peer.awaitText("hello")
      yield* (yield* server.peer(0)).finish
      yield* greeted.peer.awaitFin
      const silent = yield* serve()
      const said = yield* rig.client()
      yield* rig.bridge(said.id, silent.endpoint, { warm: yield* ahead.open(silent.endpoint) })
      yield* said.peer.send("a")
      const backend = yield* silent.peer(0)
      yield* backend.awaitBytes(1)
      yield* backend.finish
      yield* said.peer.awaitFin
      assert.lengthOf(rig.unbridged, 0)
    })
  },
  {
    name: "and each carries the bytes of one client at most, whatever else becomes of them",
    timeoutMs: 60_000,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const CLIENTS = 300
      const onPeer = ({ socket }: Peer): void => void socket.on("end", () => socket.end())
      const [warmed, dialled] = [yield* serve({ onPeer }), yield* serve({ onPeer })]
      const draws = seededBytes(99, CLIENTS * 4)
      const chance = (index: number, of: number): number => (draws[index] ?? 0) % of
      const idle: Array<{ readonly id: WarmId; readonly backend: Peer }> = []
      const used: Array<WarmId> = []
      const oneByOne = yield* Semaphore.make(1)
      const open = Effect.gen(function* () {
        const index = warmed.peers.length
        const id = yield* ahead.open(warmed.endpoint)
        return { id, backend: yield* warmed.peer(index) }
      })
      const one = Effect.fnUntraced(function* (index: number) {
        while (idle.length < 1 + chance(index * 4, 4)) idle.push(yield* oneByOne.withPermit(open))
        const client = yield* rig.client()
        const next = idle.shift()
        const fate = chance(index * 4 + 1, 12)
        // Its backend dies just now; it is discarded at the same time; it was used before.
        if (fate === 0) next?.backend.socket.destroy()
        if (fate === 1) next?.backend.socket.resetAndDestroy()
        // A busy kernel may deliver that a little later.
        if (fate < 2 && next !== undefined && hasProc) yield* isOver(next.backend)
        if (fate === 2) rig.transport.discard(next?.id ?? 0)
        if (fate === 3 && used.length > 0) {
          const error = yield* Effect.flip(
            rig.bridge(client.id, warmed.endpoint, { warm: used[chance(index * 4 + 2, used.length)] ?? 0 })
          )
          assert.strictEqual(error.reason, "WarmGone")
        }
        used.push(next?.id ?? 0)
        const bridged = yield* Effect.exit(rig.bridge(client.id, warmed.endpoint, { warm: next?.id ?? 0 }))
        assert.strictEqual(Exit.isSuccess(bridged), next !== undefined && fate > 2, `fate ${fate}`)
        if (Exit.isFailure(bridged)) yield* rig.bridge(client.id, dialled.endpoint)
        const bytes = Buffer.concat([
          Buffer.from(`client ${index};`),
          seededBytes(1_000 + index, 1 + chance(index * 4 + 3, 200) * 1_000)
        ])
        yield* client.peer.send(bytes)
        yield* client.peer.finish
        yield* client.peer.awaitFin
        return sha256(bytes)
      })
      const hashes = yield* Effect.forEach(upTo(CLIENTS), (index) => Effect.scoped(one(index)), { concurrency: 8 })
      for (const { id } of idle) rig.transport.discard(id)
      const carried = [...warmed.peers, ...dialled.peers].filter((peer) => peer.received() > 0)
      assert.deepStrictEqual(carried.map((peer) => peer.sha256()).sort(), [...hashes].sort())
      yield* noneLeft(rig)
    })
  },
  {
    name: "and leaves no descriptor behind of a thousand, of every fate",
    skip: countFds() === undefined,
    timeoutMs: 60_000,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const before = { fds: countFds() ?? 0, census: rig.transport.census().fds }
      yield* Effect.gen(function* () {
        const server = yield* serve({ onPeer: echo })
        const one = Effect.fnUntraced(function* (index: number) {
          if (index % 5 === 0) return yield* ahead.loss(ahead.begin(refusing))
          const warm = yield* ahead.open(server.endpoint)
          if (index % 5 === 1) return rig.transport.discard(warm)
          const client = yield* rig.client()
          if (index % 5 === 2) for (const { socket } of server.peers) if (socket.bytesRead === 0) socket.destroy()
          yield* Effect.exit(rig.bridge(client.id, server.endpoint, { warm }))
          return rig.transport.abort(client.id, index % 2 === 0 ? "rst" : "fin", {
            by: "proxy",
            phase: "relay",
            cause: "killed"
          })
        })
        yield* Effect.forEach(upTo(1_000), (index) => Effect.scoped(one(index)), { concurrency: 10 })
      }).pipe(Effect.scoped)
      yield* eventually(
        () => `as many descriptors as before: ${before.fds}, now ${countFds()}`,
        () => (countFds() ?? 0) <= before.fds
      )
      assert.strictEqual(rig.transport.census().warm, 0)
      yield* eventually(
        () => `a census as before: ${before.census}, now ${rig.transport.census().fds}`,
        () => rig.transport.census().fds === before.census
      )
    })
  },
  {
    name: "and hands them from one of three threads to another",
    threads: true,
    run: Effect.gen(function* () {
      const { other } = yield* EngineUnderTest
      if (other === undefined) return
      yield* Effect.gen(function* () {
        const { ahead, rig } = yield* make()
        const server = yield* serve({ onPeer: greet("hello") })
        const serveOne = Effect.fnUntraced(function* (index: number) {
          const warm = yield* ahead.open(server.endpoint)
          const client = yield* rig.client()
          yield* rig.bridge(client.id, server.endpoint, { warm })
          yield* client.peer.send(`client ${index}`)
          assert.strictEqual(yield* client.peer.awaitText(`client ${index}`), `hello\nclient ${index}`)
          return client
        })
        yield* Effect.forEach(upTo(120), serveOne, { concurrency: 6 })
        assert.lengthOf(server.peers, 120)
      }).pipe(Effect.scoped, Effect.provide(other({ threads: 3, maxConnections: 500 })))
    })
  },
  {
    name: "a lost thread loses its own, and tells; its successor opens others",
    threads: true,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const server = yield* serve({ onPeer: echo })
      const warm = yield* Effect.forEach(upTo(10), () => ahead.open(server.endpoint))
      yield* kill(rig)
      for (const id of warm) {
        const error = yield* ahead.loss(id)
        assert.deepStrictEqual([error.source, error.reason, error.code], ["proxy", "WarmGone", "ENGINE_LOST"])
      }
      for (const peer of server.peers) yield* peer.awaitClosed
      const client = yield* rig.client()
      const again = yield* ahead.open(server.endpoint)
      yield* rig.bridge(client.id, server.endpoint, { warm: again })
      yield* client.peer.send("again")
      yield* client.peer.awaitText("again")
    })
  },
  {
    name: "a thread that is lost in the midst of hand-overs, again and again, leaves no descriptor behind",
    threads: true,
    skip: countFds() === undefined,
    timeoutMs: 60_000,
    run: Effect.gen(function* () {
      const { ahead, rig } = yield* make()
      const before = countFds() ?? 0
      for (const _ of upTo(5)) {
        yield* Effect.gen(function* () {
          const server = yield* serve({ onPeer: echo })
          const clients: ReadonlyArray<Rig.Client> = yield* Effect.forEach(upTo(40), () => rig.client(), {
            concurrency: 10
          })
          const warm = yield* Effect.forEach(upTo(60), () => ahead.open(server.endpoint), { concurrency: 10 })
          const bridged = yield* Effect.forEach(clients, ({ id }, index) =>
            Effect.forkChild(Effect.exit(rig.bridge(id, server.endpoint, { warm: warm[index] ?? 0 })), {
              startImmediately: true
            })
          )
          yield* kill(rig)
          for (const { id } of clients) yield* rig.end(id)
          for (const { peer } of clients) yield* peer.awaitClosed
          for (const peer of server.peers) yield* peer.awaitClosed
          assert.lengthOf(bridged, 40)
        }).pipe(Effect.scoped)
      }
      yield* noneLeft(rig)
      const served = yield* rig.client()
      yield* servedAfresh(rig, served)
      served.peer.socket.destroy()
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${countFds()}`,
        () => (countFds() ?? 0) <= before + 2
      )
    })
  }
]
