import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createHash } from "node:crypto"
import type { Termination } from "../../../src/domain/Termination.ts"
import { seededBytes, seededStream } from "../../support/bytes.ts"
import { carry } from "../../support/dialog.ts"
import { countFds } from "../../support/fds.ts"
import { hasProc } from "../../support/kernelSockets.ts"
import { setOption } from "../../support/socketOptions.ts"
import { standstill } from "../../support/standstill.ts"
import { echo, type Peer, type Reading, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const killed: Termination = { by: "proxy", phase: "relay", cause: "killed" }

const CHUNK = 1_048_576

/** Sends on and on until it is told to stop; `sent` is then what it has sent. */
const flood = (sender: Peer, seed: number) => {
  const stream = seededStream(seed)
  const hash = createHash("sha256")
  let size = 0
  let stopped = false
  const sending = Effect.gen(function* () {
    while (!stopped && !sender.socket.destroyed) {
      const bytes = stream.next(CHUNK)
      hash.update(bytes)
      size += CHUNK
      yield* sender.send(bytes)
    }
    return { size, sha256: hash.digest("hex") }
  })
  return Effect.map(Effect.forkScoped(sending), (fiber) => ({
    stop: (): void => void (stopped = true),
    sent: Fiber.join(fiber)
  }))
}

const STALL_MS = 1_000

const sides = ["client", "backend"] as const

const bridged = Effect.fnUntraced(function* (
  readings: { readonly client?: Reading; readonly backend?: Reading },
  limits: Rig.BridgeLimits = {}
) {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading: readings.backend ?? "fast" })
  const client = yield* rig.client({ reading: readings.client ?? "fast" })
  yield* rig.bridge(client.id, server.endpoint, limits)
  return { rig, client, backend: yield* server.peer(0) }
})

/** Sends as much as can be buffered from the sender to a receiver that takes nothing; the rest is one more chunk. */
const fill = Effect.fnUntraced(function* (sender: Peer, seed: number) {
  const { sent, stop } = yield* flood(sender, seed)
  yield* standstill(sender)
  stop()
  return sent
})

/** A connection whose `stalled` side has taken nothing until nothing goes any more. */
const stalledBy = Effect.fnUntraced(function* (stalled: (typeof sides)[number], limits: Rig.BridgeLimits = {}) {
  const { backend, client, rig } = yield* bridged({ [stalled]: "stalled" }, limits)
  const [sender, receiver] = stalled === "client" ? [backend, client.peer] : [client.peer, backend]
  return { rig, client, backend, sender, receiver, sent: yield* fill(sender, 1) }
})

/** What was sent arrives, FIN behind it. */
const arrives = Effect.fnUntraced(function* (
  sender: Peer,
  receiver: Peer,
  sent: Effect.Effect<{ readonly size: number; readonly sha256: string }>
) {
  receiver.socket.resume()
  const { sha256, size } = yield* sent
  yield* sender.finish
  yield* receiver.awaitFin
  assert.deepStrictEqual([receiver.received(), receiver.sha256()], [size, sha256])
  return size
})

/** The kernel buffers little for it, and what it says of its window is near the truth. */
const RECEIVE_BUFFER = 131_072

/** A client that gets far more than it takes. */
const flooded = Effect.fnUntraced(function* (stallMs: number) {
  const pair = yield* bridged({ client: "stalled" }, { stallMs })
  const [local, remote] = pair.client.peer.ports
  setOption(local, remote, "SO_RCVBUF", RECEIVE_BUFFER)
  return { ...pair, ...(yield* flood(pair.backend, 2)) }
})

/** Reads some bytes and waits, again and again. */
const trickle = (peer: Peer, bytes: number, ms: number) =>
  Effect.forever(
    Effect.gen(function* () {
      const before = peer.received()
      peer.socket.resume()
      yield* peer.awaitBytes(before + bytes)
      peer.socket.pause()
      yield* Effect.sleep(ms)
    })
  )

export const cases: ReadonlyArray<Case> = [
  ...sides.map((stalled): Case => ({
    name: `of the ${stalled}: all stands still, and arrives whole once it reads, FIN behind it`,
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, receiver, rig, sender, sent } = yield* stalledBy(stalled)
      assert.isAtMost(rig.transport.census().heldBytes, 2_000_000)
      const size = yield* arrives(sender, receiver, sent)
      yield* receiver.finish
      const ended = yield* rig.end(client.id)
      assert.strictEqual(ended.bytesIn + ended.bytesOut, size)
      assert.strictEqual(ended.cause, "fin")
    })
  })),
  {
    name: "of both sides at once: each takes its own bytes when it reads",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged({ client: "stalled", backend: "stalled" })
      const up = yield* fill(client.peer, 3)
      const down = yield* fill(backend, 4)
      const bytesOut = yield* arrives(backend, client.peer, down)
      assert.strictEqual(backend.received(), 0)
      const bytesIn = yield* arrives(client.peer, backend, up)
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn, ended.bytesOut], ["backend relay fin", bytesIn, bytesOut])
    })
  },
  ...sides.map((stalled): Case => ({
    name: `of the ${stalled}: the other direction flows on, to its end`,
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, receiver, rig, sender, sent } = yield* stalledBy(stalled)
      yield* carry(receiver, sender, { seed: 5, size: 5_000_000, chunk: 50_000 })
      assert.strictEqual(receiver.received(), 0)
      yield* arrives(sender, receiver, sent)
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${stalled} relay fin`)
    })
  })),
  ...sides.map((stalled): Case => ({
    name: `of the ${stalled}, which then dies: it is noticed at once`,
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, receiver, rig, sender } = yield* stalledBy(stalled)
      // Closed with bytes unread: its kernel resets.
      receiver.socket.destroy()
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${stalled} relay rst`)
      assert.strictEqual(yield* sender.awaitClosed, "ECONNRESET")
    })
  })),
  ...sides.map((stalled): Case => ({
    name: `of the ${stalled}, while the sender dies: it is noticed at once, though nobody reads it`,
    needs: "hears a reset behind unread bytes",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, receiver, rig, sender } = yield* stalledBy(stalled)
      yield* sender.reset
      const by = stalled === "client" ? "backend" : "client"
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${by} relay rst`)
      receiver.socket.resume()
      assert.strictEqual(yield* receiver.awaitClosed, "ECONNRESET")
    })
  })),
  ...sides.map((stalled): Case => ({
    name: `of the ${stalled}, while the sender dies: noticed by the stall limit at the latest`,
    lacks: "hears a reset behind unread bytes",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, receiver, rig, sender } = yield* stalledBy(stalled, { stallMs: STALL_MS })
      yield* sender.reset
      const ended = yield* rig.end(client.id)
      const by = stalled === "client" ? "backend" : "client"
      assert.oneOf(Rig.why(ended), [`${by} relay rst`, `${stalled} relay stall-timeout`])
      receiver.socket.resume()
      assert.strictEqual(yield* receiver.awaitClosed, "ECONNRESET")
    })
  })),
  {
    name: "that is none: a client takes little at a time, far less than the engine can write at once",
    needs: "sees a slow receiver take bytes",
    skip: !hasProc,
    timeoutMs: 30_000,
    run: Effect.gen(function* () {
      const { backend, client, rig, sent, stop } = yield* flooded(STALL_MS)
      const trickling = yield* Effect.forkScoped(trickle(client.peer, 32_768, 50))
      yield* Effect.sleep(3 * STALL_MS)
      assert.lengthOf(rig.ends, 0)
      yield* Fiber.interrupt(trickling)
      stop()
      yield* arrives(backend, client.peer, sent)
    })
  },
  {
    name: "that is one all the same: the client took little at a time, and then nothing",
    needs: "sees a slow receiver take bytes",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { client, rig } = yield* flooded(STALL_MS)
      const trickling = yield* Effect.forkScoped(trickle(client.peer, 32_768, 50))
      yield* Effect.sleep(2 * STALL_MS)
      assert.lengthOf(rig.ends, 0)
      yield* Fiber.interrupt(trickling)
      client.peer.socket.pause()
      const since = performance.now()
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay stall-timeout")
      const took = performance.now() - since
      assert.isAtLeast(took, STALL_MS / 2)
      assert.isBelow(took, STALL_MS + 3_000)
    })
  },
  {
    name: "of 30 connections: others feel nothing of it",
    skip: !hasProc,
    timeoutMs: 30_000,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const stalled = yield* serve({ reading: "stalled" })
      const lively = yield* serve({ onPeer: echo })
      const bytes = seededBytes(6, 10_000_000)
      for (let index = 0; index < 30; index++) {
        const client = yield* rig.client()
        yield* rig.bridge(client.id, stalled.endpoint)
        yield* Effect.forkScoped(client.peer.send(bytes))
        yield* eventually("bytes waiting", () => (rig.counts(client.id)?.waiting ?? 0) > 0)
      }
      const client = yield* rig.client()
      yield* rig.bridge(client.id, lively.endpoint)
      yield* carry(client.peer, client.peer, { seed: 7, size: 20_000_000, chunk: 1_000_000 })
      assert.isAtMost(rig.transport.census().heldBytes, 100_000_000)
      assert.lengthOf(stalled.peers, 30)
    })
  },
  {
    name: "again and again: the thirtieth leaves no more descriptors behind than the third",
    skip: countFds() === undefined,
    timeoutMs: 30_000,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: "stalled" })
      const bytes = seededBytes(8, 10_000_000)
      const round = Effect.scoped(
        Effect.gen(function* () {
          const client = yield* rig.client()
          yield* rig.bridge(client.id, server.endpoint)
          yield* Effect.forkScoped(client.peer.send(bytes))
          yield* eventually("bytes waiting", () => (rig.counts(client.id)?.waiting ?? 0) > 0)
          rig.transport.abort(client.id, "rst", killed)
          yield* rig.end(client.id)
          for (const { socket } of server.peers) socket.destroy()
        })
      )
      yield* Effect.repeat(round, { times: 2 })
      const open = (): number => countFds() ?? 0
      const before = open()
      yield* Effect.repeat(round, { times: 26 })
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${open()}`,
        () => open() <= before
      )
    })
  }
]
