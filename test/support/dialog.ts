import * as Effect from "effect/Effect"
import { assert } from "@effect/vitest"
import { seededStream } from "./bytes.ts"
import { createHash } from "node:crypto"
import type { Peer } from "./tcp.ts"

/** Bytes for one direction: the seed says which, the chunk how many go to the kernel at a time. */
export interface Flow {
  readonly seed: number
  readonly size: number
  readonly chunk: number
}

/** Sends the flow as fast as it is taken, or until the connection is gone; gives the SHA-256 of what was sent. */
export const sendFlow = Effect.fnUntraced(function* (peer: Peer, flow: Flow) {
  const stream = seededStream(flow.seed)
  const hash = createHash("sha256")
  for (let left = flow.size; left > 0;) {
    const bytes = stream.next(Math.min(flow.chunk, left))
    left -= bytes.length
    hash.update(bytes)
    yield* peer.send(bytes)
  }
  return hash.digest("hex")
})

/** Carries the flow from one peer to the other, FIN at its end, and compares what arrived by its hash. */
export const carry = Effect.fnUntraced(function* (from: Peer, to: Peer, flow: Flow) {
  const sent = yield* sendFlow(from, flow)
  yield* from.finish
  yield* to.awaitFin
  assert.strictEqual(to.received(), flow.size, "bytes that arrived")
  assert.strictEqual(to.sha256(), sent, "SHA-256 of what arrived")
})

/** Both directions at once, each finished in its own time. */
export const exchange = (client: Peer, backend: Peer, up: Flow, down: Flow): Effect.Effect<void> =>
  Effect.all([carry(client, backend, up), carry(backend, client, down)], { concurrency: 2, discard: true })
