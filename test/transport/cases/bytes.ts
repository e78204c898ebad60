import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { carry, exchange, type Flow } from "../../support/dialog.ts"
import { type Reading, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const MB = 1_048_576

/** An engine may read its own clock, and only once in a while. */
const CLOCKS_APART_MS = 100

const chunkings: ReadonlyArray<readonly [name: string, chunk: number, size: number]> = [
  ["1 byte at a time", 1, 2_000],
  ["13 bytes at a time", 13, 26_001],
  ["odd chunks", 4_099, 3 * MB + 1],
  ["chunks just over 64 kB", 65_537, 8 * MB + 3],
  ["chunks of many MB", 9 * MB, 36 * MB]
]

const readers: ReadonlyArray<readonly [name: string, reading: Reading]> = [
  ["", "fast"],
  [", slow readers", { bytes: MB, ms: 10 }]
]

const pair = Effect.fnUntraced(function* (reading: Reading) {
  const rig = yield* Rig.make()
  const server = yield* serve({ reading })
  const client = yield* rig.client({ reading })
  yield* rig.bridge(client.id, server.endpoint)
  return { rig, client, backend: yield* server.peer(0) }
})

const directions = {
  "client to backend": Effect.fnUntraced(function* (reading: Reading, flow: Flow) {
    const { backend, client, rig } = yield* pair(reading)
    yield* carry(client.peer, backend, flow)
    yield* backend.finish
    const ended = yield* rig.end(client.id)
    assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, Rig.why(ended)], [flow.size, 0, "client relay fin"])
  }),
  "backend to client": Effect.fnUntraced(function* (reading: Reading, flow: Flow) {
    const { backend, client, rig } = yield* pair(reading)
    yield* carry(backend, client.peer, flow)
    yield* client.peer.finish
    const ended = yield* rig.end(client.id)
    assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, Rig.why(ended)], [0, flow.size, "backend relay fin"])
  }),
  "both ways at once": Effect.fnUntraced(function* (reading: Reading, flow: Flow) {
    const { backend, client, rig } = yield* pair(reading)
    yield* exchange(client.peer, backend, flow, { ...flow, seed: flow.seed + 1 })
    const ended = yield* rig.end(client.id)
    assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, ended.cause], [flow.size, flow.size, "fin"])
  })
}

const table = chunkings.flatMap(([name, chunk, size], row) =>
  readers
    .filter(([, reading]) => reading === "fast" || size > 4 * MB)
    .flatMap(([speed, reading]) =>
      Object.entries(directions).map(([direction, run]): Case => ({
        name: `${direction}, ${name}${speed}`,
        run: run(reading, { seed: 10 * row, size, chunk })
      }))
    )
)

export const cases: ReadonlyArray<Case> = [
  ...table,
  {
    // More than the kernel's buffers hold, so that writes of one connection wait while the others are read.
    name: "connections that all wait for slow readers get their own bytes",
    timeoutMs: 60_000,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: { bytes: MB, ms: 15 } })
      // One after the other up to the bridge, so that the nth client is the nth connection of the backend.
      const pairs = yield* Effect.forEach([0, 1, 2, 3, 4, 5], (index) =>
        Effect.gen(function* () {
          const client = yield* rig.client({ reading: { bytes: MB, ms: 10 + 5 * index } })
          yield* rig.bridge(client.id, server.endpoint)
          return { client, index, backend: yield* server.peer(index) }
        })
      )
      yield* Effect.forEach(
        pairs,
        ({ backend, client, index }) =>
          exchange(
            client.peer,
            backend,
            { seed: 1_000 + index, size: 20 * MB + index, chunk: MB + 1 },
            { seed: 2_000 + index, size: 20 * MB + index, chunk: MB + 7 }
          ),
        { concurrency: "unbounded", discard: true }
      )
    })
  },
  {
    name: "a connection without a byte",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* pair("fast")
      yield* client.peer.finish
      yield* backend.awaitFin
      yield* backend.finish
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([ended.bytesIn, ended.bytesOut, Rig.why(ended)], [0, 0, "client relay fin"])
      assert.isUndefined(ended.firstByteUs)
    })
  },
  {
    name: "counts move while the connection is open",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* pair("fast")
      yield* client.peer.send(Buffer.alloc(1_000))
      yield* backend.awaitBytes(1_000)
      const up = rig.counts(client.id)
      assert.deepStrictEqual([up?.bytesIn, up?.bytesOut], [1_000, 0])
      yield* eventually("nothing waiting", () => rig.counts(client.id)?.waiting === 0)
      yield* backend.send(Buffer.alloc(77))
      yield* client.peer.awaitBytes(77)
      assert.strictEqual(rig.counts(client.id)?.bytesOut, 77)
      assert.isBelow(rig.counts(client.id)?.idleMs ?? Infinity, 5_000)
      yield* Effect.sleep(120)
      assert.isAtLeast(rig.counts(client.id)?.idleMs ?? -1, 100)
    })
  },
  {
    name: "before it is bridged, a connection is idle since it was accepted",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const since = performance.now()
      const client = yield* rig.client()
      yield* Effect.sleep(300)
      const counts = rig.counts(client.id)
      assert.deepStrictEqual([counts?.bytesIn, counts?.bytesOut], [0, 0])
      assert.isAtLeast(counts?.idleMs ?? -1, 300 - CLOCKS_APART_MS)
      assert.isAtMost(counts?.idleMs ?? Infinity, performance.now() - since + CLOCKS_APART_MS)
    })
  },
  {
    name: "the time from dial to the backend's first byte is told",
    run: Effect.gen(function* () {
      const { backend, client, rig } = yield* pair("fast")
      yield* Effect.sleep(60)
      yield* backend.send("hello")
      yield* client.peer.awaitText("hello")
      yield* client.peer.finish
      yield* backend.finish
      const { firstByteUs } = yield* rig.end(client.id)
      assert.isAtLeast(firstByteUs ?? -1, 50_000)
      assert.isBelow(firstByteUs ?? Infinity, 10_000_000)
    })
  }
]
