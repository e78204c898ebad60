import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { insert, manual } from "./setup.ts"
import { ask, listen, transact } from "./talk.ts"

const refusals: ReadonlyArray<readonly [what: string, statement: unknown, status: number, error: string]> = [
  ["writes", "DELETE FROM backends", 400, "statement is not readonly"],
  ["makes a table", "CREATE TABLE t (a)", 400, "statement is not readonly"],
  ["names no table", "SELECT * FROM nowhere", 400, "no such table: nowhere in SELECT * FROM nowhere at offset 14"],
  ["is no SQL", "SELEC 1", 400, 'near "SELEC": syntax error in SELEC 1 at offset 0'],
  ["is two", "SELECT 1; SELECT 2", 400, "Multiple statements provided"],
  ["lacks a value", "SELECT ?", 500, "Wrong number of parameters passed to query. Got 0, needed 1"],
  ["has too many values", ["SELECT ?", [1, 2]], 500, "Wrong number of parameters passed to query. Got 2, needed 1"],
  ["names no parameter", ["SELECT :a", { ":b": 1 }], 500, "Invalid parameter name: :b"]
]

describe("a query", () => {
  it.live("gives columns, counted rows and eoq, and ends", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      yield* transact(url, insert("m1"), insert("m2"), "UPDATE backends SET extra = x'00ff' WHERE id = 'm1'")
      const { body, headers, status } = yield* ask(`${url}/v1/queries?timeout=5`, {
        json: ["SELECT id, healthy, extra FROM backends WHERE app = ? ORDER BY id;", ["shop"]]
      })
      assert.strictEqual(status, 200)
      assert.strictEqual(
        body,
        '{"columns":["id","healthy","extra"]}\n{"row":[1,["m1",1,[0,255]]]}\n{"row":[2,["m2",1,null]]}\n{"eoq":{"time":5e-8}}\n'
      )
      assert.isUndefined(headers["content-type"])
      assert.deepStrictEqual(
        Object.keys(headers).filter((name) => name.startsWith("corro")),
        []
      )
    })
  )

  it.live.each(refusals)("is refused when it %s", ([, json, status, error]) =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const refused = yield* ask(`${url}/v1/queries`, { json })
      assert.deepStrictEqual([refused.status, JSON.parse(refused.body)], [status, { error }])
    })
  )

  it.live("ends without eoq when told so, with an error line or without", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      yield* transact(url, insert("m1"), insert("m2"))
      const query = { json: "SELECT id FROM backends ORDER BY id" }
      yield* control({ do: "cut-before-eoq", rows: 1, how: "error", on: "queries" })
      const failed = yield* ask(`${url}/v1/queries`, query)
      assert.strictEqual(failed.status, 200)
      assert.strictEqual(failed.body, '{"columns":["id"]}\n{"row":[1,["m1"]]}\n{"error":"interrupted"}\n')
      yield* control({ do: "cut-before-eoq", on: "queries" })
      const silent = yield* ask(`${url}/v1/queries`, query)
      assert.strictEqual(silent.body, '{"columns":["id"]}\n{"row":[1,["m1"]]}\n{"row":[2,["m2"]]}\n')
      yield* control({ do: "cut-before-eoq", how: "close", on: "queries" })
      const closed = yield* listen(`${url}/v1/queries`, query)
      assert.strictEqual(yield* closed.ended, "aborted")
    }).pipe(Effect.scoped)
  )
})
