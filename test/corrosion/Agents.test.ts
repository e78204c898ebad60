import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CorrosionStore from "../../layers/corrosion/CorrosionStore.ts"
import { probe } from "../../layers/corrosion/probe.ts"
import { BackendStore, type StoreChange } from "../../src/backends/BackendStore.ts"
import { decodeBackend } from "../../src/domain/Backend.ts"
import { type ClusterAgent, fakes, real } from "./agents.ts"
import { atAgent, follow, optionsFor, put, remove, summary, type TestAgent, write } from "./rig.ts"
import { sightings } from "../support/sightings.ts"

const said = (options: Parameters<typeof probe>[0]) => sightings(probe(options))

const sourceAt = (agent: TestAgent) => follow(optionsFor(agent))

const storeAt = (agent: TestAgent) => BackendStore.pipe(Effect.provide(CorrosionStore.layer(optionsFor(agent))))

const putOf = (id: string, weight: number): StoreChange => {
  const decoded = decodeBackend({ id, app: "shop", region: "eu", country: "DE", wg_ip: "10.0.0.7", port: 8080, weight })
  if (decoded._tag !== "Backend") throw new Error("no backend")
  return { _tag: "Put", backend: decoded.backend, owner: "pop-a", source: "api", at: 1_700_000_000_000 }
}

// A real cluster takes up to two seconds for a change, and some more to find itself.
const PATIENCE_MS = 60_000

for (const { missing, name, start } of [fakes, real]) {
  const one = Effect.map(start(1), ([agent]): ClusterAgent => {
    if (agent === undefined) throw new Error("no agent")
    return agent
  })

  describe.skipIf(missing !== undefined)(
    `${name}${missing === undefined ? "" : `: ${missing}`}`,
    { timeout: 120_000 },
    () => {
      it.live("tells its rows, and their changes", () =>
        Effect.gen(function* () {
          const agent = yield* one
          yield* write(agent, put("a"), put("é界😀"))
          const followed = yield* sourceAt(agent)
          yield* followed.untilRows("a 1", "é界😀 1")
          yield* write(agent, put("a", 5), put("c"), remove("é界😀"))
          yield* followed.untilRows("a 5", "c 1")
          yield* write(agent, remove("a"), remove("c"))
          yield* followed.untilRows()
        })
      )

      it.live("takes what the store writes, and gives it back", () =>
        Effect.gen(function* () {
          const agent = yield* one
          const { write } = yield* storeAt(agent)
          const followed = yield* sourceAt(agent)
          yield* followed.untilRows()
          yield* write([putOf("a", 3), putOf("b", 4), { _tag: "Drain", id: "b", draining: true }])
          yield* followed.untilRows("a 3", "b 4")
          yield* followed.until("the drain", () =>
            followed.states()?.some(({ draining, id }) => id === "b" && draining === 1)
          )
          yield* write([{ _tag: "Set", id: "a", fields: { weight: 9 } }])
          yield* write([{ _tag: "Remove", id: "b" }])
          yield* followed.untilRows("a 9")
          yield* followed.until("one state", () => followed.states()?.length === 1)
        })
      )

      it.live("passes a look", () =>
        Effect.gen(function* () {
          const agent = yield* one
          yield* write(agent, put("a"))
          assert.deepStrictEqual(yield* said(optionsFor(agent)), [
            `ok the agent at ${agent.url} answers, without a token`,
            "ok table backends: 1 rows",
            "ok table edgeproxy_backend_state: 0 rows",
            "ok table backends can be subscribed to"
          ])
        })
      )

      for (const how of ["in order", "crash"] as const) {
        it.live(`is followed over a restart (${how})`, () =>
          Effect.gen(function* () {
            const agent = yield* one
            yield* write(agent, put("a"), put("b"))
            const followed = yield* sourceAt(agent)
            yield* followed.untilRows("a 1", "b 1")
            yield* write(agent, put("b", 2))
            yield* followed.untilRows("a 1", "b 2")
            yield* agent.restart(how)
            yield* write(agent, remove("a"), put("b", 3), put("c"))
            yield* followed.untilRows("b 3", "c 1")
            assert.deepStrictEqual(summary(followed.rows()), yield* atAgent(agent))
            assert.isEmpty(followed.events().filter((event) => event._tag === "Rows" && event.rows.length === 0))
          })
        )
      }

      it.live("has what was written at another, and its deletion", () =>
        Effect.gen(function* () {
          const agents = yield* start(3)
          const [first, , last] = agents
          if (first === undefined || last === undefined) return assert.fail("not three agents")
          const { write } = yield* storeAt(first)
          const followed = yield* Effect.forEach(agents, sourceAt)
          const until = (what: string, expected: ReadonlyArray<string>) =>
            Effect.forEach(
              followed,
              (each) => each.until(what, () => summary(each.rows()).join() === expected.join(), PATIENCE_MS),
              { concurrency: "unbounded" }
            )
          yield* write([putOf("a", 3), putOf("b", 4)])
          yield* until("both rows", ["a 3", "b 4"])
          yield* (yield* storeAt(last)).write([
            { _tag: "Remove", id: "b" },
            { _tag: "Set", id: "a", fields: { weight: 6 } }
          ])
          yield* until("what is left", ["a 6"])
        })
      )
    }
  )
}
