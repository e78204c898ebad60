import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { seededBytes } from "../support/bytes.ts"
import { connect } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell, timed } from "./scene.ts"
import { brazilian, judge, load, upTo, visit } from "./visit.ts"

const DRIPS = 300
const BYTES = 20
const BURST = 2_000

for (const engine of engines) {
  describe(`clients, engine ${engine}`, () => {
    it.live(
      `${DRIPS} that drip byte by byte get theirs, and hold nobody up`,
      () =>
        Effect.gen(function* () {
          const a = yield* chaosBackend("a")
          const play = yield* scene(engine, [a.row({ soft_limit: 1_000 })])
          for (const _ of upTo(rounds)) {
            const clients = yield* load(play.edge.address)
            const drips = yield* Effect.forEach(upTo(DRIPS), (index) =>
              connect(play.edge.address, { from: `127.1.1.${1 + (index % 250)}` })
            )
            const bytesOf = drips.map((_, index) => seededBytes(index, BYTES))
            for (const position of upTo(BYTES)) {
              yield* Effect.forEach(
                drips,
                (drip, index) => drip.send(bytesOf[index]?.subarray(position, position + 1) ?? ""),
                { concurrency: "unbounded" }
              )
              yield* clients.more(5)
            }
            yield* Effect.forEach(drips, ({ finish }) => finish)
            yield* Effect.forEach(drips, ({ awaitClosed }) => awaitClosed)
            const outcomes = drips.map((drip, index) => judge(drip, bytesOf[index] ?? Buffer.alloc(0)))
            assert.deepStrictEqual(
              outcomes.filter((outcome) => outcome !== "whole"),
              []
            )
            const visits = yield* clients.stop
            assert.deepStrictEqual(mishaps(visits), {})
            yield* tell(`${engine}: the longest visit beside ${DRIPS} drips`, Math.max(...visits.map(({ ms }) => ms)))
          }
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play)
        }),
      patience
    )

    it.live(
      `${BURST} that connect at once to a process of 512 descriptors: each is served whole or closed at once`,
      () =>
        Effect.gen(function* () {
          const a = yield* chaosBackend("a")
          const play = yield* scene(engine, [a.row({ soft_limit: 1_000 })], {}, { fdLimit: 512 })
          for (const _ of upTo(rounds)) {
            const visits = yield* timed(
              `${engine}: a burst of ${BURST}`,
              Effect.forEach(upTo(BURST), (index) => visit(play.edge.address, brazilian(index), index, { size: 100 }), {
                concurrency: "unbounded"
              })
            )
            const { cut = 0, ...others } = mishaps(visits)
            assert.deepStrictEqual(others, {})
            const served = visits.length - cut
            yield* tell(`${engine}: served of the burst of ${BURST}`, served, "")
            assert.isAbove(served, 150)
            // Only an engine that can't leave them in the kernel's queue turns clients away.
            if (engine === "splice") assert.strictEqual(served, BURST)
          }
          yield* atRest(play)
        }),
      patience
    )
  })
}
