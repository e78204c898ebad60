import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempDirectory } from "../tempDirectory.ts"
import { start } from "./AgentProcess.ts"
import { insert, schema, SELECT } from "./setup.ts"
import { ask, listen, subscribe, transact } from "./talk.ts"

const files = Effect.map(tempDirectory, (directory) => {
  const file = join(directory, "schema.sql")
  writeFileSync(file, schema)
  return { schemaArgs: ["--schema", file, "--tick-ms", "5"], db: join(directory, "state.db") }
})

describe("the agent as a program", () => {
  it.live("forms a cluster with others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { schemaArgs } = yield* files
        const first = yield* start(schemaArgs)
        const [second, third] = yield* Effect.all(
          [
            start([...schemaArgs, "--peer", first.url]),
            start([...schemaArgs, "--peer", first.url, "--token", "secret"])
          ],
          { concurrency: 2 }
        )
        const headers = { authorization: "Bearer secret" }
        assert.strictEqual((yield* ask(`${third.url}/v1/health`)).status, 401)
        const listener = yield* listen(`${third.url}/v1/subscriptions`, { json: SELECT, headers })
        yield* listener.snapshot
        yield* transact(second.url, insert("m1"))
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["insert", 1, ["m1", "shop", 1], 1] }])
        assert.strictEqual(new Set([first, second, third].map(({ actorId }) => actorId)).size, 3)
      })
    )
  )

  it.live("takes commands, and tells of its subscriptions", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { schemaArgs } = yield* files
        const agent = yield* start(schemaArgs)
        const listener = yield* subscribe(agent.url, SELECT)
        yield* listener.snapshot
        const id = String(listener.headers["corro-query-id"])
        assert.deepStrictEqual(yield* agent.subscriptions, [{ id, sql: SELECT, lastChangeId: 0, listeners: 1 }])
        yield* agent.control({ do: "end", how: "error", message: "enough" })
        assert.deepStrictEqual(yield* listener.next(1), [{ error: "enough" }])
        yield* agent.control({ do: "answer", status: 503 })
        assert.strictEqual((yield* ask(`${agent.url}/v1/queries`, { json: "SELECT 1" })).status, 503)
      })
    )
  )

  it.live("keeps its rows in a file, and its subscriptions when it is terminated, but not when it is killed", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { db, schemaArgs } = yield* files
        const args = [...schemaArgs, "--db", db]
        const first = yield* start(args)
        const listener = yield* subscribe(first.url, SELECT)
        yield* listener.snapshot
        const id = String(listener.headers["corro-query-id"])
        yield* transact(first.url, insert("m1"))
        yield* listener.next(1)
        yield* first.kill("SIGTERM")
        assert.strictEqual(yield* listener.ended, "aborted")

        const second = yield* start(args)
        assert.strictEqual(second.actorId, first.actorId)
        const resumed = yield* listen(`${second.url}/v1/subscriptions/${id}?from=1`)
        yield* transact(second.url, insert("m2"))
        assert.deepStrictEqual(yield* resumed.next(1), [{ change: ["insert", 2, ["m2", "shop", 1], 2] }])
        yield* second.kill("SIGKILL")
        assert.include(["aborted", "read ECONNRESET"], yield* resumed.ended)

        const third = yield* start(args)
        assert.strictEqual((yield* ask(`${third.url}/v1/subscriptions/${id}?from=2`)).status, 404)
        const anew = yield* subscribe(third.url, SELECT)
        assert.notStrictEqual(anew.headers["corro-query-id"], id)
        assert.deepStrictEqual((yield* anew.snapshot).slice(1, 3), [
          { row: [1, ["m1", "shop", 1]] },
          { row: [2, ["m2", "shop", 1]] }
        ])
        assert.strictEqual(
          (JSON.parse((yield* transact(third.url, insert("m3"))).body) as { version: number }).version,
          3
        )
      })
    )
  )
})
