import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { apiOf } from "../support/edgeApi.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell, timed } from "./scene.ts"
import { load, upTo } from "./visit.ts"

const env = {
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_TYPE: "http",
  HEALTH_CHECK_INTERVAL_SECS: "0.3",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "1",
  CIRCUIT_BREAKER_ENABLED: "true",
  CIRCUIT_TIMEOUT_SECS: "0.5"
}

for (const engine of engines) {
  describe(`all backends updated one after the other, engine ${engine}`, () => {
    for (const drained of [false, true]) {
      it.live(
        drained
          ? "drained before: no client notices anything"
          : "ended in order, without a word to the proxy: no client notices anything",
        () =>
          Effect.gen(function* () {
            const all = yield* Effect.forEach(["a", "b", "c"], (name) => chaosBackend(name))
            const play = yield* scene(
              engine,
              all.map(({ row }) => row()),
              env
            )
            const api = yield* apiOf(play.edge)
            const clients = yield* load(play.edge.address)
            for (const _ of upTo(rounds)) {
              for (const { name, retire, start } of all) {
                yield* clients.servedBy(name)
                if (drained) {
                  assert.strictEqual((yield* api.call("POST", `/api/v1/backends/${name}/drain`)).status, 200)
                }
                yield* timed(`${engine}: ${name} ends`, retire)
                yield* clients.more(20)
                yield* start
                if (drained) {
                  assert.strictEqual((yield* api.call("POST", `/api/v1/backends/${name}/undrain`)).status, 200)
                }
                yield* timed(`${engine}: ${name} serves after its update`, clients.servedBy(name))
              }
            }
            const visits = yield* clients.stop
            yield* tell(
              `${engine}: errors in the update of all backends${drained ? ", drained before" : ""}`,
              visits.filter(({ outcome }) => outcome !== "whole").length,
              ` of ${visits.length} visits`
            )
            const { cut = 0, ...others } = mishaps(visits)
            assert.deepStrictEqual(others, {})
            // Who closes his listener resets those whom his kernel has accepted and he has not, and nobody knows of them.
            assert.isAtMost(cut, drained ? 0 : rounds * all.length)
            assert.deepStrictEqual(proxyEnds(play.edge), [])
            yield* atRest(play)
          }),
        patience
      )
    }
  })
}
