import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { exchange } from "../support/dialog.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, type Reading, serve } from "../support/tcp.ts"
import { startWith, why } from "./setup.ts"

const MB = 1_048_576

describe("a large transfer", () => {
  it.live(
    "512 MB each way at the same time, slow readers at both ends, arrive as they were sent",
    () =>
      Effect.gen(function* () {
        const reading: Reading = { bytes: 4 * MB, ms: 20 }
        const server = yield* serve({ reading: { bytes: MB, ms: 5 } })
        const edge = yield* startWith([rowOf("a", server)])
        const client = yield* connect(edge.address, { reading })
        const backend = yield* server.peer(0)
        const size = 512 * MB
        yield* exchange(client, backend, { seed: 1, size, chunk: 3 * MB + 1 }, { seed: 2, size, chunk: 2 * MB + 7 })
        const entry = yield* edge.entry(() => true)
        assert.deepStrictEqual([entry.bytes_in, entry.bytes_out, entry.end_cause], [size, size, "fin"], why(entry))
      }),
    120_000
  )
})
