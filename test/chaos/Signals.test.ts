import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaults } from "../e2e/setup.ts"
import { startEdge } from "../support/EdgeProcess.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { engines, patience, rounds, scene, timed } from "./scene.ts"
import { brazilian, load, transfer, upTo, visit } from "./visit.ts"

for (const engine of engines) {
  describe(`signals, engine ${engine}`, () => {
    it.live(
      "SIGTERM twice under load: it ends at once, nobody takes half for the whole, and the next start serves",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          for (const _ of upTo(rounds)) {
            const play = yield* scene(
              engine,
              all.map(({ row }) => row()),
              { SHUTDOWN_TIMEOUT_SECS: "60" }
            )
            const { edge } = play
            const clients = yield* load(edge.address)
            const transfers = yield* Effect.forEach(upTo(10), (index) =>
              transfer(edge.address, brazilian(index), 10 + index)
            )
            yield* clients.more(20)
            edge.signal("SIGTERM")
            yield* edge.log("listeners closed")
            edge.signal("SIGTERM")
            const exit = yield* timed(`${engine}: the end after the second signal`, edge.exit)
            assert.deepStrictEqual(exit, { code: 0, signal: null })
            assert.deepInclude(edge.logs.at(-1), { message: "forced" })
            const outcomes = yield* Effect.forEach(transfers, ({ ended }) => ended)
            assert.notInclude(outcomes, "corrupt")
            assert.isTrue(transfers.every(({ peer }) => peer.closed() !== "fin"))
            const visits = yield* clients.stop
            const seen = new Set(visits.map(({ outcome }) => outcome))
            for (const fine of ["whole", "cut", "ECONNREFUSED"]) seen.delete(fine)
            assert.deepStrictEqual([...seen], [])
            assert.strictEqual(edge.errorText(), "")

            const again = yield* startEdge({ env: { ...defaults(edge.database), TRANSPORT: engine } })
            const { outcome } = yield* timed(
              `${engine}: a visit after the next start`,
              visit(again.address, brazilian(0), 1)
            )
            assert.strictEqual(outcome, "whole")
            assert.strictEqual((yield* again.stop).code, 0)
          }
        }),
      patience
    )
  })
}
