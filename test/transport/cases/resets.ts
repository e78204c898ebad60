import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { hasProc, socketAt } from "../../support/kernelSockets.ts"
import { isReset } from "../../support/isReset.ts"
import { type Peer, type Reading, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import type { Ability } from "../Engine.ts"
import * as Rig from "../Rig.ts"

const SIZE = 16_000_000

let made: Buffer | undefined
const bytesToCut = (): Buffer => (made ??= seededBytes(9, SIZE))

const slow: Reading = { bytes: 65_536, ms: 1 }

const bridged = Effect.fnUntraced(function* (reading: Reading) {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading })
  const client = yield* rig.client({ reading })
  yield* rig.bridge(client.id, server.endpoint)
  const backend = yield* server.peer(0)
  yield* client.peer.send("question")
  yield* backend.awaitText("question")
  yield* backend.send("answer")
  yield* client.peer.awaitText("answer")
  return { rig, client, backend }
})

/** What came is how the bytes begin. */
const isPrefix = (peer: Peer, greeting: string, bytes: Buffer): void => {
  const received = peer.received()
  assert.isAtMost(received, greeting.length + bytes.length)
  const whole = Buffer.concat([Buffer.from(greeting), bytes.subarray(0, Math.max(0, received - greeting.length))])
  assert.strictEqual(peer.sha256(), sha256(whole.subarray(0, received)))
}

interface Moment {
  readonly name: string
  readonly needs?: Ability
  readonly reading?: Reading
  /** What happens before `one` resets. */
  readonly before: (one: Peer, other: Peer, bytes: Buffer) => Effect.Effect<unknown, never, never>
}

const sending = (peer: Peer, bytes: Buffer) => Effect.forkDetach(peer.send(bytes))

const moments: ReadonlyArray<Moment> = [
  { name: "that is idle", before: () => Effect.void },
  {
    name: "in the middle of what it sends",
    reading: slow,
    before: (one, other, bytes) => Effect.andThen(sending(one, bytes), other.awaitBytes(1_000_000))
  },
  {
    name: "in the middle of what it gets",
    reading: slow,
    before: (one, other, bytes) => Effect.andThen(sending(other, bytes), one.awaitBytes(1_000_000))
  },
  {
    name: "in the middle of both",
    reading: slow,
    before: (one, other, bytes) =>
      sending(one, bytes).pipe(
        Effect.andThen(sending(other, bytes)),
        Effect.andThen(one.awaitBytes(1_000_000)),
        Effect.andThen(other.awaitBytes(1_000_000))
      )
  },
  {
    name: "after it has finished, with nothing under way",
    needs: "hears a reset after a FIN",
    before: (one, other) => Effect.andThen(one.finish, other.awaitFin)
  },
  { name: "after the other has finished", before: (one, other) => Effect.andThen(other.finish, one.awaitFin) },
  {
    name: "after it has finished, in the middle of what it gets",
    reading: slow,
    before: (one, other, bytes) =>
      one.finish.pipe(
        Effect.andThen(other.awaitFin),
        Effect.andThen(sending(other, bytes)),
        Effect.andThen(one.awaitBytes(1_000_000))
      )
  },
  {
    name: "after the other has finished, in the middle of what it sends",
    reading: slow,
    before: (one, other, bytes) =>
      other.finish.pipe(
        Effect.andThen(one.awaitFin),
        Effect.andThen(sending(one, bytes)),
        Effect.andThen(other.awaitBytes(1_000_000))
      )
  }
]

const sides = ["client", "backend"] as const

const table = sides.flatMap((side) =>
  moments.map(({ before, name, needs, reading }): Case => ({
    name: `of a ${side} ${name}`,
    ...(needs === undefined ? {} : { needs }),
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(reading ?? "fast")
      const [one, other] = side === "client" ? [client.peer, backend] : [backend, client.peer]
      const bytes = bytesToCut()
      yield* before(one, other, bytes)
      yield* one.reset
      const ended = yield* rig.end(client.id)
      assert.strictEqual(Rig.why(ended), `${side} relay rst`)
      assert.include(["ECONNRESET", "EPIPE"], ended.code)
      yield* isReset(other)
      isPrefix(backend, "question", bytes)
      isPrefix(client.peer, "answer", bytes)
      assert.isAtLeast(ended.bytesIn, backend.received())
      assert.isAtLeast(ended.bytesOut, client.peer.received())
      assert.lengthOf(rig.unbridged, 0)
    })
  }))
)

export const cases: ReadonlyArray<Case> = [
  ...table,
  ...sides.map((side): Case => ({
    name: `of a ${side} after it has finished: heard of when the other sends something at the latest`,
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged("fast")
      const [one, other] = side === "client" ? [client.peer, backend] : [backend, client.peer]
      yield* one.finish
      yield* other.awaitFin
      yield* one.reset
      yield* Effect.forkScoped(
        Effect.repeat(Effect.andThen(other.send("x"), Effect.sleep(1)), { until: () => other.closed() !== undefined })
      )
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${side} relay rst`)
      yield* isReset(other)
    })
  })),
  {
    name: "of a client before any byte",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      const client = yield* rig.client()
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.reset
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay rst")
      assert.strictEqual(yield* (yield* server.peer(0)).awaitClosed, "ECONNRESET")
    })
  },
  ...sides.map((side): Case => ({
    name: `of a ${side} that closes with bytes unread, as kernels do it`,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged("fast")
      const [one, other] = side === "client" ? [client.peer, backend] : [backend, client.peer]
      one.socket.pause()
      // Paused sockets may read once more.
      yield* Effect.forkDetach(other.send(seededBytes(1, 3_000_000)))
      const [local, remote] = one.ports
      yield* eventually("unread bytes", () => (socketAt(local, remote)?.unread ?? 0) > 0)
      one.socket.destroy()
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${side} relay rst`)
      assert.strictEqual(yield* other.awaitClosed, "ECONNRESET")
    }),
    skip: !hasProc
  }))
]
