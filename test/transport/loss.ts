import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Ended } from "../../src/traffic/Transport.ts"
import { carry } from "../support/dialog.ts"
import { serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { EngineUnderTest } from "./Engine.ts"
import * as Rig from "./Rig.ts"

/** Kills a thread; completes when that is known, and its successor may still be on its way. */
export const kill = Effect.fnUntraced(function* (rig: Rig.Rig, index = 0) {
  const { killThread } = yield* EngineUnderTest
  const before = rig.transport.census().threadsLost
  killThread?.(rig.transport, index)
  yield* eventually("loss of a thread", () => rig.transport.census().threadsLost > before)
})

/** A new client of the listener is served, from its first byte to its end. */
export const serves = Effect.fnUntraced(function* (rig: Rig.Rig) {
  const server = yield* serve()
  const client = yield* rig.client()
  yield* rig.bridge(client.id, server.endpoint)
  const backend = yield* server.peer(0)
  // Little at a time, so that no pipe is opened.
  yield* carry(client.peer, backend, { seed: 1, size: 50_000, chunk: 5_000 })
  yield* carry(backend, client.peer, { seed: 2, size: 50_000, chunk: 5_000 })
  assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client relay fin")
}, Effect.scoped)

export const isLost = ({ by, cause }: Ended): void => assert.deepStrictEqual([by, cause], ["proxy", "engine-lost"])
