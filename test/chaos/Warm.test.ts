import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { apiOf } from "../support/edgeApi.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { brazilian, load, upTo, visit } from "./visit.ts"

// Those that are left over are gone before the descriptors are counted.
const pool = { POOL_ENABLED: "true", POOL_IDLE_TIMEOUT_SECS: "2", BINDING_TTL_SECS: "0" }

const german = (index: number): string => `127.3.1.${1 + (index % 200)}`

for (const engine of engines) {
  describe(`connections opened ahead, engine ${engine}`, () => {
    it.live(
      "their backend is killed with -9 while it holds some: nobody who comes then sees an error",
      () =>
        Effect.gen(function* () {
          const [a, b] = [yield* chaosBackend("a"), yield* chaosBackend("b")]
          const play = yield* scene(engine, [a.row(), b.row()], pool)
          const { edge } = play
          const api = yield* apiOf(edge)
          const holds = (name: string) =>
            api.until(`/api/v1/backends/${name}`, ({ body }) => body["connections"] === 0 && Number(body["warm"]) > 0)
          for (const _ of upTo(rounds)) {
            // Other clients go on meanwhile, on a backend of their own.
            const others = yield* Effect.forkScoped(
              Effect.forEach(upTo(40), (index) => visit(edge.address, german(index), index), { concurrency: 4 })
            )
            const before = yield* Effect.forEach(upTo(12), (index) => visit(edge.address, brazilian(index), index), {
              concurrency: 4
            })
            assert.deepStrictEqual(mishaps(before), {})
            yield* Effect.all([holds("a"), holds("b")], { concurrency: 2 })
            // The proxy is stopped, so that it hears of the deaths and of the clients at the same time.
            edge.signal("SIGSTOP")
            yield* a.kill
            const during = yield* Effect.forkScoped(
              Effect.forEach(upTo(20), (index) => visit(edge.address, brazilian(index), index), { concurrency: 20 })
            )
            yield* Effect.sleep(50)
            edge.signal("SIGCONT")
            assert.deepStrictEqual(mishaps(yield* Fiber.join(during)), {})
            // And once more when it has heard of all.
            assert.deepStrictEqual(
              mishaps(yield* Effect.forEach(upTo(20), (index) => visit(edge.address, brazilian(index), index))),
              {}
            )
            assert.deepStrictEqual(mishaps(yield* Fiber.join(others)), {})
            yield* a.start
            yield* timed(
              `${engine}: connections are opened ahead again`,
              Effect.gen(function* () {
                while (Number((yield* api.call("GET", "/api/v1/backends/a")).body["warm"]) === 0) {
                  assert.strictEqual((yield* visit(edge.address, brazilian(1), 1)).outcome, "whole")
                }
              })
            )
          }
          assert.deepStrictEqual(proxyEnds(edge), [])
          yield* atRest(play)
        }),
      patience
    )

    it.live(
      "backends are killed with -9 under load: only what was under way with them is lost",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b", "c"], (name) => chaosBackend(name))
          const play = yield* scene(
            engine,
            all.map(({ row }) => row()),
            pool
          )
          const clients = yield* load(play.edge.address)
          yield* clients.more(30)
          for (const _ of upTo(rounds)) {
            for (const { kill, name, start } of all) {
              yield* clients.servedBy(name)
              yield* kill
              yield* clients.more(20)
              yield* start
              yield* clients.servedBy(name)
            }
          }
          const visits = yield* clients.stop
          yield* play.edge.entryCount(1 + visits.length)
          const { cut = 0, ...others } = mishaps(visits)
          assert.deepStrictEqual(others, {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          // One process of three with six clients at a time.
          assert.isAtMost(cut, rounds * 3 * 6)
          yield* atRest(play)
        }),
      patience
    )
  })
}
