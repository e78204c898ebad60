import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as CorrosionStore from "../../layers/corrosion/CorrosionStore.ts"
import type { CorrosionOptions } from "../../layers/corrosion/options.ts"
import { BackendStore, type StoreChange } from "../../src/backends/BackendStore.ts"
import { type Backend, decodeBackend } from "../../src/domain/Backend.ts"
import { decodeState } from "../../src/domain/BackendState.ts"
import type { FakeAgent } from "../support/corrosion/FakeAgent.ts"
import { atAgent, fake, follow, optionsFor, put, type TestAgent, write } from "./rig.ts"

const store = (agent: TestAgent, options: Partial<CorrosionOptions> = {}) =>
  BackendStore.pipe(Effect.provide(CorrosionStore.layer(optionsFor(agent, options))))

const backendOf = (id: string, weight = 2): Backend => {
  const decoded = decodeBackend({ id, app: "shop", region: "eu", country: "DE", wg_ip: "10.0.0.7", port: 8080, weight })
  if (decoded._tag !== "Backend") throw new Error("no backend")
  return decoded.backend
}

const putOf = (id: string, weight?: number): StoreChange => ({
  _tag: "Put",
  backend: backendOf(id, weight),
  owner: "pop-a",
  source: "api",
  at: 1_700_000_000_000
})

const writesAt = (agent: FakeAgent): number =>
  agent.requests().filter(({ endpoint }) => endpoint === "transactions").length

describe("the Corrosion store", () => {
  it.live("makes every change, and what it has written comes back", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const { write } = yield* store(agent)
      const followed = yield* follow(optionsFor(agent))
      yield* followed.untilRows()
      yield* write([putOf("a"), putOf("b"), putOf("gone")])
      yield* write([
        { _tag: "Set", id: "a", fields: { weight: 9, healthy: false } },
        { _tag: "Heartbeat", id: "a", owner: "pop-b", at: 1_700_000_009_000 },
        { _tag: "Drain", id: "b", draining: true },
        { _tag: "Expire", id: "b", owner: "pop-c" },
        { _tag: "Remove", id: "gone" }
      ])
      assert.strictEqual(writesAt(agent), 2)
      yield* followed.untilRows("a 9", "b 2")
      yield* followed.until("the states", () => followed.states()?.length === 2)
      const [a, b] = followed.rows().map(decodeBackend)
      assert.deepStrictEqual(
        [a, b],
        [
          { _tag: "Backend", backend: { ...backendOf("a", 9), healthy: false } },
          { _tag: "Backend", backend: backendOf("b") }
        ]
      )
      assert.deepStrictEqual(followed.states()?.map(decodeState), [
        {
          id: "a",
          owner: "pop-b",
          source: "api",
          draining: false,
          expired: false,
          registeredAt: 1_700_000_000_000,
          heartbeatAt: 1_700_000_009_000
        },
        {
          id: "b",
          owner: "pop-c",
          source: "api",
          draining: true,
          expired: true,
          registeredAt: 1_700_000_000_000,
          heartbeatAt: 1_700_000_000_000
        }
      ])
    })
  )

  it.live("sets only the columns that it owns", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a", 5), ["UPDATE backends SET healthy = 0 WHERE id = 'a'", []])
      const { write: change } = yield* store(agent)
      yield* change([putOf("a", 3)])
      const followed = yield* follow(optionsFor(agent))
      yield* followed.untilRows("a 3")
      assert.deepStrictEqual(followed.rows().map(decodeBackend), [
        { _tag: "Backend", backend: { ...backendOf("a", 3), healthy: false } }
      ])
    })
  )

  it.live("asks nothing for nothing", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const { write } = yield* store(agent)
      yield* write([])
      yield* write([{ _tag: "Set", id: "a", fields: {} }])
      assert.isEmpty(agent.requests())
    })
  )

  it.live("makes all of the changes or none", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const { write } = yield* store(agent)
      const error = yield* Effect.flip(
        // No column takes this one.
        write([putOf("a"), { _tag: "Set", id: "a", fields: { port: JSON.parse("[[]]") } }])
      )
      assert.strictEqual(error.reason, "rejected")
      assert.deepStrictEqual(yield* atAgent(agent), [])
      assert.strictEqual(writesAt(agent), 1)
    })
  )

  for (const fault of ["lose-request", "lose-answer"] as const) {
    it.live(`makes them again after a ${fault}`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        const { write } = yield* store(agent)
        yield* agent.control({ do: fault, on: "transactions", times: 2 })
        yield* write([putOf("a")])
        assert.deepStrictEqual(yield* atAgent(agent), ["a 2"])
        assert.strictEqual(writesAt(agent), 3)
        yield* agent.control({ do: fault, on: "transactions", times: 3 })
        const error = yield* Effect.flip(write([putOf("b")]))
        assert.strictEqual(error.reason, "unavailable")
        assert.strictEqual(writesAt(agent), 6)
      })
    )
  }

  it.live("takes a moment of overload for what it is", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const { write } = yield* store(agent)
      yield* agent.control({ do: "answer", status: 503, on: "transactions" })
      yield* write([putOf("a")])
      assert.deepStrictEqual(yield* atAgent(agent), ["a 2"])
    })
  )

  const failures: ReadonlyArray<readonly [string, Parameters<FakeAgent["control"]>[0], reason: string]> = [
    ["no answer", { do: "hang" }, "timeout"],
    ["an answer that is late", { do: "slow", ms: 5_000 }, "timeout"],
    ["a wrong token", { do: "answer", status: 401 }, "unavailable"],
    ["an address where there is no agent", { do: "answer", status: 404 }, "unavailable"],
    ["an agent that can't", { do: "answer", status: 503, times: 3 }, "unavailable"],
    ["an answer that is none", { do: "answer", status: 200, body: "{}" }, "unavailable"],
    ["results of something else", { do: "answer", status: 200, body: '{"results":[]}' }, "unavailable"],
    ["an error amid the results", { do: "answer", status: 200, body: '{"results":[{"error":"no"}]}' }, "rejected"],
    [
      "a constraint",
      {
        do: "answer",
        status: 500,
        body: '{"results":[{"error":"rusqlite: NOT NULL constraint failed: backends.id"}]}'
      },
      "rejected"
    ],
    [
      "a missing table",
      { do: "answer", status: 500, body: '{"results":[{"error":"rusqlite: no such table: backends"}]}' },
      "schema"
    ],
    [
      "a database that may only be read",
      { do: "answer", status: 500, body: '{"results":[{"error":"rusqlite: attempt to write a readonly database"}]}' },
      "readonly"
    ],
    [
      "a statement that took too long",
      { do: "answer", status: 500, body: '{"results":[{"error":"rusqlite: interrupted"}]}' },
      "timeout"
    ],
    ["a statement that is not understood", { do: "answer", status: 422 }, "rejected"]
  ]
  for (const [what, command, reason] of failures) {
    it.live(`says ${reason} for ${what}`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        const { write } = yield* store(agent, { times: { writeMs: 400 } })
        yield* agent.control(command)
        const error = yield* Effect.flip(write([putOf("a")]))
        assert.strictEqual(error.reason, reason, error.message)
        assert.include(error.message, agent.url)
        yield* agent.control({ do: "behave" })
        yield* write([putOf("a")])
        assert.deepStrictEqual(yield* atAgent(agent), ["a 2"])
      })
    )
  }

  it.live("needs the companion table", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ schema: "CREATE TABLE backends (id TEXT NOT NULL PRIMARY KEY, app TEXT);" })
      const error = yield* Effect.flip((yield* store(agent)).write([{ _tag: "Drain", id: "a", draining: true }]))
      assert.strictEqual(error.reason, "schema")
      assert.include(error.detail, "edgeproxy_backend_state")
    })
  )

  it.live("shows its token to the agent only", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ token: "open sesame" })
      yield* (yield* store(agent, { token: Redacted.make("open sesame") })).write([putOf("a")])
      const wrong = yield* store(agent, { token: Redacted.make("hunter2") })
      const error = yield* Effect.flip(wrong.write([putOf("b")]))
      assert.notInclude(String(error) + JSON.stringify(error), "hunter2")
      assert.include(error.detail, "token")
    })
  )

  it.live("tells that nobody is there", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* agent.control({ do: "stop" })
      const error = yield* Effect.flip((yield* store(agent)).write([putOf("a")]))
      assert.deepStrictEqual([error.reason, error.detail], ["unavailable", "ECONNREFUSED"])
    })
  )
})
