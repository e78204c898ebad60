import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { tempDirectory } from "../tempDirectory.ts"
import { insert, manual, SELECT } from "./setup.ts"
import { ask, listen, subscribe, transact } from "./talk.ts"

const columns = { columns: ["id", "app", "healthy"] }
const eoq = (change_id: number) => ({ eoq: { time: 8e-8, change_id } })
const inserted = (id: number) => ({ change: ["insert", id, [`m${id}`, "shop", 1], id] })
const row = (id: number) => ({ row: [id, [`m${id}`, "shop", 1]] })

/** An agent whose subscription has had three changes, and the URL to resume that. */
const afterThree = Effect.gen(function* () {
  const agent = yield* manual()
  const { control, url } = agent
  const first = yield* subscribe(url, SELECT)
  yield* first.snapshot
  const add = (id: number) =>
    Effect.andThen(transact(url, insert(`m${id}`)), Effect.andThen(control({ do: "tick" }), Effect.void))
  for (const id of [1, 2, 3]) yield* add(id)
  const id = String(first.headers["corro-query-id"])
  return { ...agent, first, add, id, byId: `${url}/v1/subscriptions/${id}` }
})

describe("a subscription that is resumed", () => {
  it.live("starts from scratch without `from` or from 0", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, id, url } = yield* afterThree
        const listeners = [
          yield* listen(byId),
          yield* listen(`${byId}?from=0`),
          yield* listen(`${byId.replaceAll("-", "")}?skip_rows=false`),
          yield* subscribe(url, SELECT, "?from=0"),
          yield* subscribe(url, SELECT)
        ]
        for (const listener of listeners) {
          assert.strictEqual(listener.headers["corro-query-id"], id)
          assert.deepStrictEqual(yield* listener.snapshot, [columns, row(1), row(2), row(3), eoq(3)])
        }
        yield* add(4)
        for (const listener of listeners) assert.deepStrictEqual(yield* listener.next(1), [inserted(4)])
      })
    )
  )

  it.live("goes on after a change, with nothing but changes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, id, url } = yield* afterThree
        const listeners = [
          yield* listen(`${byId}?from=1`),
          yield* subscribe(url, SELECT, "?from=1"),
          yield* listen(`${byId}?from=1&skip_rows=true`)
        ]
        for (const listener of listeners) {
          assert.isUndefined(listener.headers["content-type"])
          assert.strictEqual(listener.headers["corro-query-id"], id)
          assert.deepStrictEqual(yield* listener.next(2), [inserted(2), inserted(3)])
        }
        const current = yield* listen(`${byId}?from=3`)
        yield* add(4)
        for (const listener of [...listeners, current]) assert.deepStrictEqual(yield* listener.next(1), [inserted(4)])
      })
    )
  )

  it.live("accepts a change of the future, below which the changes are then", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId } = yield* afterThree
        const ahead = yield* listen(`${byId}?from=1000`)
        assert.strictEqual(ahead.status, 200)
        yield* add(4)
        assert.deepStrictEqual(yield* ahead.next(1), [inserted(4)])
      })
    )
  )

  it.live("loses what was before when rows are skipped", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, url } = yield* afterThree
        const listeners = [
          yield* listen(`${byId}?skip_rows=true`),
          yield* listen(`${byId}?from=0&skip_rows=true`),
          yield* subscribe(url, SELECT, "?skip_rows=true")
        ]
        yield* add(4)
        for (const listener of listeners) assert.deepStrictEqual(yield* listener.next(1), [inserted(4)])
      })
    )
  )

  it.live("ends with an error line when the changes are gone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control } = yield* afterThree
        yield* control({ do: "prune", keep: 1 })
        const old = yield* ask(`${byId}?from=1`)
        assert.deepStrictEqual(
          [old.status, old.body],
          [200, '{"error":"subscription already deleted older changes, min change id: 3"}\n']
        )
        const recent = yield* listen(`${byId}?from=2`)
        assert.deepStrictEqual(yield* recent.next(1), [inserted(3)])
        const anew = yield* listen(byId)
        assert.deepStrictEqual((yield* anew.snapshot).at(-1), eoq(3))
      })
    )
  )

  it.live("is not found when there is none", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const id = "0f9d3c1a-6d3f-4d0e-8f5a-0c4c39fd5a01"
      const unknown = yield* ask(`${url}/v1/subscriptions/${id}?from=7`)
      assert.strictEqual(unknown.status, 404)
      assert.strictEqual(unknown.headers["content-type"], "application/json")
      assert.strictEqual(unknown.body, `{"error":"could not find subscription with id ${id}"}`)
      for (const from of [0, 7]) {
        const refused = yield* ask(`${url}/v1/subscriptions?from=${from}`, { json: SELECT })
        assert.strictEqual(refused.status, 400)
        assert.deepStrictEqual(JSON.parse(refused.body), {
          error: "a `from` query param was supplied, but no existing subscription found"
        })
      }
    })
  )

  it.live("goes on after a clean restart, which ends its streams", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, control, first, id, url } = yield* afterThree
        yield* control({ do: "restart" })
        assert.strictEqual(yield* first.ended, "aborted")
        yield* add(4)
        const resumed = yield* listen(`${byId}?from=3`)
        assert.deepStrictEqual(yield* resumed.next(1), [inserted(4)])
        assert.strictEqual((yield* subscribe(url, SELECT)).headers["corro-query-id"], id)
      })
    )
  )

  it.live("finds in a file what it was about to tell", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "state.db")
        const id = yield* Effect.scoped(
          Effect.gen(function* () {
            const { control, url } = yield* manual({ path })
            const listener = yield* subscribe(url, SELECT)
            yield* transact(url, insert("m1"))
            yield* control({ do: "tick" })
            yield* transact(url, insert("m2"), insert("m3"))
            yield* transact(url, "DELETE FROM backends WHERE id = 'm1'")
            return String(listener.headers["corro-query-id"])
          })
        )
        const { url } = yield* manual({ path })
        const resumed = yield* listen(`${url}/v1/subscriptions/${id}?from=1`)
        assert.deepStrictEqual(yield* resumed.next(3), [
          inserted(2),
          inserted(3),
          { change: ["delete", 1, ["m1", "shop", 1], 4] }
        ])
      })
    )
  )

  it.live("is forgotten after a crash, and another begins", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control, first, id, url } = yield* afterThree
        yield* control({ do: "restart", crash: true })
        assert.strictEqual(yield* first.ended, "aborted")
        assert.strictEqual((yield* ask(`${byId}?from=3`)).status, 404)
        const anew = yield* subscribe(url, SELECT)
        assert.notStrictEqual(anew.headers["corro-query-id"], id)
        assert.deepStrictEqual(yield* anew.snapshot, [columns, row(1), row(2), row(3), eoq(0)])
      })
    )
  )

  it.live("is forgotten alone when it is dropped", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control, first, id, subscriptions, url } = yield* afterThree
        const other = yield* subscribe(url, "SELECT id FROM backends")
        yield* other.snapshot
        yield* control({ do: "drop", sub: id })
        assert.strictEqual(yield* first.ended, "eof")
        assert.strictEqual((yield* ask(`${byId}?from=3`)).status, 404)
        assert.deepStrictEqual(
          subscriptions().map(({ listeners }) => listeners),
          [1]
        )
      })
    )
  )

  it.live("may have another id when it is asked for by its text", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control, id, url } = yield* afterThree
        yield* control({ do: "rename" })
        const renamed = yield* subscribe(url, SELECT, "?from=2")
        assert.notStrictEqual(renamed.headers["corro-query-id"], id)
        assert.deepStrictEqual(yield* renamed.next(1), [inserted(3)])
        assert.strictEqual((yield* ask(byId)).status, 404)
      })
    )
  )
})
