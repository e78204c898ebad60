import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { insert, manual } from "./setup.ts"
import { ask, listen, transact } from "./talk.ts"

describe("the other endpoints of the agent", () => {
  it.live("knows of no health while it is idle, until told so", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      const idle = yield* ask(`${url}/v1/health`)
      assert.deepStrictEqual([idle.status, idle.body], [503, '{"error":"no p99 lag information available"}'])
      yield* control({ do: "health", known: true })
      const known = yield* ask(`${url}/v1/health?gaps=5&p99_lag=10`)
      assert.strictEqual(known.status, 200)
      assert.hasAllKeys((JSON.parse(known.body) as { response: object }).response, [
        "gaps",
        "members",
        "p99_lag",
        "queue_size"
      ])
    })
  )

  it.live("counts the rows of tables in one sum", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      yield* transact(url, insert("m1"), insert("m2"), "INSERT INTO places (app, city) VALUES ('a', 'b')")
      const stats = (json: unknown) => ask(`${url}/v1/table_stats`, { json })
      const { body, status } = yield* stats({ tables: ["backends", "places", "nowhere"] })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(JSON.parse(body), { total_row_count: 3, invalid_tables: ["nowhere"] })
      assert.strictEqual((yield* stats({})).status, 422)
    })
  )

  it.live("notifies of rows, not of what they hold", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m0"))
        const listener = yield* listen(`${url}/v1/updates/places`, { method: "POST" })
        assert.strictEqual(listener.status, 200)
        assert.match(String(listener.headers["corro-query-id"]), /^[0-9a-f-]{36}$/)
        assert.isUndefined(listener.headers["corro-query-hash"])
        assert.isUndefined(listener.headers["content-type"])
        const tick = (sql: string) => Effect.andThen(transact(url, sql, insert(sql)), control({ do: "tick" }))
        yield* tick("INSERT INTO places (app, city) VALUES ('shop', 'Ulm')")
        yield* tick("UPDATE places SET size = 3")
        yield* tick("DELETE FROM places")
        assert.deepStrictEqual(yield* listener.next(3), [
          { notify: ["update", ["shop", "Ulm"]] },
          { notify: ["update", ["shop", "Ulm"]] },
          { notify: ["delete", ["shop", "Ulm"]] }
        ])
        assert.deepStrictEqual(listener.rest().lines, [])
        const another = yield* listen(`${url}/v1/updates/places`, { method: "POST" })
        assert.strictEqual(another.headers["corro-query-id"], listener.headers["corro-query-id"])
        yield* control({ do: "end", how: "eof" })
        assert.strictEqual(yield* listener.ended, "eof")
        const unknown = yield* ask(`${url}/v1/updates/nowhere`, { method: "POST" })
        assert.deepStrictEqual([unknown.status, unknown.body], [400, '{"error":"table not found in schema: nowhere"}'])
      })
    )
  )
})
