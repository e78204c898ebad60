import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { exchange } from "../support/dialog.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, type Reading, serve } from "../support/tcp.ts"
import { startWith } from "./setup.ts"

const MB = 1_048_576
const SIZE = 128 * MB

describe("large transfers", () => {
  it.live(
    "four connections, 128 MB each way at the same time, slow readers at both ends: all arrive as sent",
    () =>
      Effect.gen(function* () {
        const server = yield* serve({ reading: { bytes: MB, ms: 10 } })
        const edge = yield* startWith([rowOf("a", server)])
        const reading: Reading = { bytes: 2 * MB, ms: 15 }
        const pairs = yield* Effect.forEach([0, 1, 2, 3], (index) =>
          Effect.gen(function* () {
            const client = yield* connect(edge.address, { reading })
            return { client, index, backend: yield* server.peer(index) }
          })
        )
        yield* Effect.forEach(
          pairs,
          ({ backend, client, index }) =>
            exchange(
              client,
              backend,
              { seed: index, size: SIZE, chunk: 3 * MB + 1 },
              { seed: 100 + index, size: SIZE, chunk: 2 * MB + 7 }
            ),
          { concurrency: "unbounded", discard: true }
        )
        const entries = yield* edge.entryCount(4)
        assert.isTrue(entries.every((entry) => entry.bytes_in === SIZE && entry.bytes_out === SIZE))
        assert.isTrue(entries.every((entry) => entry.end_phase === "relay" && entry.end_cause === "fin"))
      }),
    120_000
  )
})
