import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { carry } from "../../support/dialog.ts"
import { type Reading, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const slow: Reading = { bytes: 131_072, ms: 1 }

const bridged = Effect.fnUntraced(function* (reading: Reading = "fast") {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading })
  const client = yield* rig.client({ reading })
  yield* rig.bridge(client.id, server.endpoint)
  return { rig, client, backend: yield* server.peer(0) }
})

const sides = ["client", "backend"] as const

/** What each side has sent before it finishes, the first one and then the other. */
const sizes: ReadonlyArray<readonly [before: number, after: number]> = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 70_000],
  [3_000_000, 1],
  [3_000_000, 3_000_000]
]

const orders = sides.flatMap((first) =>
  sizes.map(([before, after]): Case => ({
    name: `the ${first} after ${before} bytes, then the other after ${after}`,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged(slow)
      const [one, other] = first === "client" ? [client.peer, backend] : [backend, client.peer]
      yield* carry(one, other, { seed: 1, size: before, chunk: 100_000 })
      yield* carry(other, one, { seed: 2, size: after, chunk: 100_000 })
      assert.strictEqual(yield* one.awaitClosed, "fin")
      assert.strictEqual(yield* other.awaitClosed, "fin")
      const ended = yield* rig.end(client.id)
      const [bytesIn, bytesOut] = first === "client" ? [before, after] : [after, before]
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn, ended.bytesOut], [`${first} relay fin`, bytesIn, bytesOut])
    })
  }))
)

export const cases: ReadonlyArray<Case> = [
  ...orders,
  ...sides.map((first): Case => ({
    name: `the ${first}, and the other side talks on for long in small pieces`,
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* bridged()
      const [one, other] = first === "client" ? [client.peer, backend] : [backend, client.peer]
      yield* one.finish
      yield* other.awaitFin
      for (let round = 0; round < 50; round++) {
        yield* other.send(`word ${round};`)
        yield* one.awaitText(`word ${round};`)
      }
      assert.lengthOf(rig.ends, 0)
      assert.isUndefined(other.closed())
      yield* other.finish
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), `${first} relay fin`)
    })
  })),
  ...[0, 10, 500_000].map((size): Case => ({
    name: `a client that has finished after ${size} bytes before its dial: the answer is whole`,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: slow })
      const client = yield* rig.client({ reading: slow })
      const bytes = seededBytes(3, size)
      yield* Effect.forkScoped(Effect.andThen(client.peer.send(bytes), client.peer.finish))
      yield* rig.cameEarly(client, Math.min(size, 65_536))
      yield* rig.bridge(client.id, server.endpoint)
      const backend = yield* server.peer(0)
      yield* backend.awaitFin
      assert.deepStrictEqual([backend.received(), backend.sha256()], [size, sha256(bytes)])
      yield* carry(backend, client.peer, { seed: 4, size: 1_000_000, chunk: 50_000 })
      assert.strictEqual(yield* client.peer.awaitClosed, "fin")
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn, ended.bytesOut], ["client relay fin", size, 1_000_000])
    })
  })),
  {
    name: "both at the same moment, 200 times, with the last bytes in the same segment",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve()
      for (let round = 0; round < 200; round++) {
        const client = yield* rig.client()
        yield* rig.bridge(client.id, server.endpoint)
        const backend = yield* server.peer(round)
        client.peer.socket.end("last of the client")
        backend.socket.end("last of the backend")
        yield* client.peer.awaitClosed
        yield* backend.awaitClosed
        assert.deepStrictEqual([client.peer.text(), backend.text()], ["last of the backend", "last of the client"])
        assert.deepStrictEqual([client.peer.closed(), backend.closed()], ["fin", "fin"])
        const ended = yield* rig.end(client.id)
        assert.deepStrictEqual([ended.phase, ended.cause, ended.bytesIn, ended.bytesOut], ["relay", "fin", 18, 19])
        assert.oneOf(ended.by, ["client", "backend"])
      }
    })
  }
]
