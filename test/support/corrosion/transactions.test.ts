import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { insert, manual } from "./setup.ts"
import { ask, transact } from "./talk.ts"
import type { Reply } from "./talk.ts"

interface Outcome {
  readonly results: ReadonlyArray<{ readonly rows_affected?: number; readonly time?: number; readonly error?: string }>
  readonly time: number
  readonly version: number | null
  readonly actor_id: string
}

const outcome = ({ body }: Reply): Outcome => JSON.parse(body) as Outcome

const rows = (url: string, sql: string): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.map(ask(`${url}/v1/queries`, { json: sql }), ({ body }) =>
    body
      .split("\n")
      .filter((line) => line.startsWith('{"row"'))
      .map((line) => (JSON.parse(line) as { row: [number, ReadonlyArray<unknown>] }).row[1])
  )

const undoing: ReadonlyArray<readonly [what: string, statement: unknown, error: string]> = [
  ["a constraint", "INSERT INTO backends (id) VALUES ('m0')", "UNIQUE constraint failed: backends.id"],
  ["the syntax", "INSRT INTO backends", 'near "INSRT": syntax error'],
  ["an unknown table", "DELETE FROM nowhere", "no such table: nowhere"],
  ["a SELECT", "SELECT 1", "Execute returned results"],
  ["RETURNING", "INSERT INTO backends (id) VALUES ('m9') RETURNING id", "Execute returned results"],
  ["a second statement", "DELETE FROM backends; DELETE FROM places", "Multiple statements provided"],
  ["COMMIT", "COMMIT", "not authorized"],
  ["too few values", ["DELETE FROM backends WHERE id = ? AND app = ?", ["a"]], "Got 1, needed 2"],
  ["too many values", ["DELETE FROM backends WHERE id = ?", ["a", "b"]], "Got 2, needed 1"],
  ["no values", "DELETE FROM backends WHERE id = ?", "Got 0, needed 1"],
  [
    "a misspelt key of the values",
    { query: "DELETE FROM backends WHERE id = ?", args: ["m0"] },
    "Wrong number of parameters"
  ],
  ["an unknown name", ["DELETE FROM backends WHERE id = :a", { ":b": 1 }], "Invalid parameter name: :b"],
  ["a name without prefix", ["DELETE FROM backends WHERE id = :a", { a: 1 }], "Invalid parameter name: a"]
]

describe("a transaction", () => {
  it.live("tells what each statement did, and its version of what changed", () =>
    Effect.gen(function* () {
      const { actorId, url } = yield* manual()
      const first = yield* transact(url, insert("m1"), insert("m2"), "UPDATE backends SET app = 'x'")
      assert.strictEqual(first.status, 200)
      const told = outcome(first)
      assert.deepStrictEqual(
        told.results.map(({ rows_affected }) => rows_affected),
        [1, 1, 2]
      )
      assert.strictEqual(told.version, 1)
      assert.match(told.actor_id, /^[0-9a-f]{32}$/)
      assert.strictEqual(told.actor_id, actorId)
      // The same values again: rows are affected, and nothing has changed.
      const same = outcome(yield* transact(url, "UPDATE backends SET app = 'x'"))
      assert.deepStrictEqual([same.results[0]?.rows_affected, same.version], [2, null])
      assert.strictEqual(outcome(yield* transact(url, "DELETE FROM backends WHERE id = 'none'")).version, null)
      assert.strictEqual(outcome(yield* transact(url, "DELETE FROM backends WHERE id = 'm1'")).version, 2)
      const upsert = "INSERT INTO backends (id, app) VALUES ('m2', ?) ON CONFLICT (id) DO UPDATE SET app = excluded.app"
      assert.strictEqual(outcome(yield* transact(url, [upsert, ["x"]])).version, null)
      assert.strictEqual(outcome(yield* transact(url, [upsert, ["y"]])).version, 3)
    })
  )

  it.live.each(undoing)("is undone by %s", ([, statement, error]) =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      yield* transact(url, insert("m0"))
      const failed = yield* transact(url, insert("m1"), statement, insert("m2"))
      assert.strictEqual(failed.status, 500)
      const told = outcome(failed)
      assert.strictEqual(told.results.length, 1)
      assert.match(told.results[0]?.error ?? "", /^rusqlite: .* \(actor_id: None, version: None\)$/)
      assert.include(told.results[0]?.error ?? "", error)
      assert.strictEqual(told.version, null)
      assert.deepStrictEqual(yield* rows(url, "SELECT id FROM backends"), [["m0"]])
      assert.strictEqual(outcome(yield* transact(url, insert("m3"))).version, 2)
    })
  )

  it.live("binds values as SQLite's types, and gives them back", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const types = (json: string) =>
        ask(`${url}/v1/queries`, {
          body: `["SELECT typeof(?1), ?1", [${json}]]`,
          headers: { "content-type": "application/json" }
        }).pipe(Effect.map(({ body }) => body.split("\n")[1]))
      assert.strictEqual(yield* types("null"), '{"row":[1,["null",null]]}')
      assert.strictEqual(yield* types("true"), '{"row":[1,["integer",1]]}')
      assert.strictEqual(yield* types("false"), '{"row":[1,["integer",0]]}')
      assert.strictEqual(yield* types("-7"), '{"row":[1,["integer",-7]]}')
      assert.strictEqual(yield* types("9223372036854775807"), '{"row":[1,["integer",9223372036854775807]]}')
      assert.strictEqual(yield* types("9223372036854775808"), '{"row":[1,["real",9223372036854776000.0]]}')
      assert.strictEqual(yield* types("1.0"), '{"row":[1,["real",1.0]]}')
      assert.strictEqual(yield* types("1e3"), '{"row":[1,["real",1000.0]]}')
      assert.strictEqual(yield* types('"é\\n"'), '{"row":[1,["text","é\\n"]]}')
      assert.strictEqual(yield* types("[0,255]"), '{"row":[1,["blob",[0,255]]]}')
      assert.strictEqual(yield* types("[]"), '{"row":[1,["blob",[]]]}')
      yield* transact(url, ["INSERT INTO backends (id, load) VALUES ('m1', ?)", [1]])
      assert.deepStrictEqual(yield* rows(url, "SELECT typeof(load), 1e999 FROM backends"), [["real", null]])
    })
  )

  it.live("prefers values by position, and finds values by name whatever the prefix", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const row = (json: unknown) =>
        Effect.map(ask(`${url}/v1/queries`, { json }), ({ body, status }) => [status, body.split("\n")[1]])
      const both = { query: "SELECT :a", params: [1], named_params: { ":a": 2 } }
      assert.deepStrictEqual(yield* row(both), [200, '{"row":[1,[1]]}'])
      const names = ["SELECT :a, @b, $c, :a", { ":a": 1, "@b": 2, $c: 3 }]
      assert.deepStrictEqual(yield* row(names), [200, '{"row":[1,[1,2,3,1]]}'])
      assert.deepStrictEqual(yield* row(["SELECT ?2, '?', ?1 -- ?", [1, 2]]), [200, '{"row":[1,[2,"?",1]]}'])
    })
  )

  it.live("replaces a row as Corrosion does: columns without a value are reset", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      yield* transact(url, insert("m1"))
      assert.strictEqual(
        outcome(yield* transact(url, "INSERT OR REPLACE INTO backends (id, healthy) VALUES ('m1', 1)")).version,
        2
      )
      assert.deepStrictEqual(yield* rows(url, "SELECT id, app, healthy FROM backends"), [["m1", "", 1]])
    })
  )

  it.live("makes a table that nobody can subscribe to", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      assert.strictEqual((yield* transact(url, "CREATE TABLE own (id TEXT PRIMARY KEY)")).status, 200)
      assert.strictEqual(outcome(yield* transact(url, "INSERT INTO own VALUES ('a')")).version, null)
      assert.deepStrictEqual(yield* rows(url, "SELECT * FROM own"), [["a"]])
      const refused = yield* ask(`${url}/v1/subscriptions`, { json: "SELECT id FROM own" })
      assert.deepStrictEqual(
        [refused.status, JSON.parse(refused.body)],
        [400, { error: "table not found in schema: own" }]
      )
      assert.strictEqual(
        (yield* transact(url, "CREATE TABLE IF NOT EXISTS backends (id TEXT PRIMARY KEY)")).status,
        200
      )
    })
  )

  it.live("finds no table where the schema was refused", () =>
    Effect.gen(function* () {
      const agent = yield* manual({ schema: "CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT);" })
      assert.include(agent.schemaError ?? "", "no primary key or primary key is nullable")
      const failed = yield* transact(agent.url, insert("m1"))
      assert.strictEqual(failed.status, 500)
      assert.include(failed.body, "no such table: backends")
    })
  )
})
