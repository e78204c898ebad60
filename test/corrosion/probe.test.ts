import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { probe } from "../../layers/corrosion/probe.ts"
import { drain, fake, optionsFor, put, schema, write } from "./rig.ts"
import { sightings } from "../support/sightings.ts"

const said = (options: Parameters<typeof probe>[0]) => sightings(probe(options))

describe("a look at an agent before anything depends on it", () => {
  it.live("tells what is there", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ token: "open sesame" })
      const options = optionsFor(agent, { token: Redacted.make("open sesame") })
      assert.deepStrictEqual(yield* said(options), [
        `ok the agent at ${agent.url} answers, and takes the token`,
        "ok table backends: 0 rows",
        "ok table edgeproxy_backend_state: 0 rows",
        "ok table backends can be subscribed to"
      ])
    })
  )

  it.live("tells what is missing, and how many rows there are", () =>
    Effect.gen(function* () {
      const [withoutIt = ""] = schema.replace(/ +country .*\n/, "").split("CREATE TABLE IF NOT EXISTS edgeproxy")
      const agent = yield* fake({ schema: withoutIt })
      yield* write(agent, ["INSERT INTO backends (id) VALUES ('a'), ('b')", []])
      const lines = yield* said(optionsFor(agent))
      assert.include(lines, "ok table backends: 2 rows, without the optional country")
      assert.match(lines[2] ?? "", /^warn table edgeproxy_backend_state can't be read, .*no such table/)
    })
  )

  it.live("tells of a table that agents do not replicate", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ schema: "" })
      yield* write(agent, ["CREATE TABLE backends (id TEXT PRIMARY KEY, region TEXT, wg_ip TEXT, port INTEGER)", []])
      const lines = yield* said(optionsFor(agent))
      assert.match(lines.at(-1) ?? "", /can't be subscribed to; it is read every 30000 ms: .*table not found in schema/)
    })
  )

  it.live("leaves no subscription when none is wanted", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"), drain("a"))
      assert.strictEqual((yield* said(optionsFor(agent, { mode: "poll" }))).length, 3)
      assert.isEmpty(agent.subscriptions())
    })
  )

  it.live("fails where the proxy could not run", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.flip(said(optionsFor({ url: "http://127.0.0.1:1" })))
      assert.deepStrictEqual([closed.reason, closed.detail], ["unreachable", "ECONNREFUSED"])
      const agent = yield* fake({ token: "open sesame" })
      const denied = yield* Effect.flip(said(optionsFor(agent, { token: Redacted.make("hunter2") })))
      assert.strictEqual(denied.reason, "unreadable")
      assert.notInclude(denied.message, "hunter2")
      const empty = yield* fake({ schema: "" })
      const without = yield* Effect.flip(said(optionsFor(empty)))
      assert.strictEqual(without.reason, "schema")
      assert.include(without.message, "no such table: backends")
    })
  )
})
