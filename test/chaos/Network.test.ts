import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { LogLine } from "../support/EdgeProcess.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { canHaveIslands, island } from "./island.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { load, transfer, upTo, visit } from "./visit.ts"

const american = (index: number): string => `127.2.${1 + (Math.floor(index / 250) % 250)}.${1 + (index % 250)}`

const checks = {
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_INTERVAL_SECS: "0.5",
  HEALTH_CHECK_TIMEOUT_SECS: "0.5",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "1",
  CONNECT_TIMEOUT_MS: "700"
}

for (const engine of engines) {
  describe(`the network, engine ${engine}`, () => {
    it.live.skipIf(!canHaveIslands)(
      "loses packets, parts and heals: transfers across it end whole, and newcomers are served by others meanwhile",
      () =>
        Effect.gen(function* () {
          const there = yield* island
          const far = yield* chaosBackend("far", there)
          const near = yield* chaosBackend("near")
          const rows = [near.row(), far.row({ country: "US", region: "us" })]
          const play = yield* scene(engine, rows, checks)
          const to = play.edge.address
          let next = 0
          const visits = (count: number) =>
            Effect.forEach(upTo(count), () => visit(to, american(next++), next), { concurrency: 5 })
          const clients = yield* load(to)
          for (const round of upTo(rounds)) {
            const across = yield* Effect.forEach(upTo(3), (index) =>
              transfer(to, american(next++), 50 + 3 * round + index)
            )
            for (const { peer } of across) assert.match(peer.text(), /^far\n/)

            // So much lost, it may already be found down.
            const from = play.edge.logs.length
            yield* there.lose(0.05)
            const lossy = yield* timed(`${engine}: 30 visits at 5 % loss`, visits(30))
            assert.deepStrictEqual(mishaps(lossy), {})

            yield* there.lose(1)
            const cutOff = yield* timed(`${engine}: 5 visits to a backend that is cut off`, visits(5))
            assert.deepStrictEqual(mishaps(cutOff), {})
            const down = play.edge.log((line) => line.message.startsWith("backend down") && line["id"] === "far", from)
            yield* timed(`${engine}: and found down after`, down)
            assert.notInclude(
              (yield* visits(20)).map(({ name }) => name),
              "far"
            )

            const healedFrom = play.edge.logs.length
            yield* there.lose(0)
            const isUp = (line: LogLine) => line.message.startsWith("backend up again") && line["id"] === "far"
            const up = play.edge.log(isUp, healedFrom)
            yield* timed(`${engine}: found up again after the partition`, up)
            const healed = yield* visits(20)
            assert.deepStrictEqual(mishaps(healed), {})
            assert.include(
              healed.map(({ name }) => name),
              "far"
            )
            const outcomes = yield* timed(
              `${engine}: transfers across the partition are whole`,
              Effect.forEach(across, ({ finish }) => finish, { concurrency: across.length })
            )
            assert.deepStrictEqual(outcomes, ["whole", "whole", "whole"])
          }
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play)
        }),
      patience
    )
  })
}
