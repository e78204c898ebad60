import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { insert, manual, SELECT } from "./setup.ts"
import { ask, subscribe, transact } from "./talk.ts"

const idOf = ({ headers }: { readonly headers: { readonly [name: string]: unknown } }) => headers["corro-query-id"]
const eoq = (change_id: number) => ({ eoq: { time: 8e-8, change_id } })
const columns = { columns: ["id", "app", "healthy"] }

const refusals: ReadonlyArray<readonly [what: string, statement: unknown, error: RegExp]> = [
  ["names no table", "SELECT id FROM nowhere", /^no such table: nowhere/],
  ["reads a table of SQLite's own", "SELECT name FROM sqlite_master", /^table not found in schema: sqlite_master$/],
  ["reads no table", "SELECT 1", /^at least 1 table is required/],
  ["writes", "DELETE FROM backends", /./],
  ["is compound", "SELECT id FROM backends UNION SELECT app FROM places", /^unsupported/],
  ["has IN over a table", "SELECT id FROM backends WHERE app IN places", /./],
  ["is ambiguous", "SELECT app FROM backends JOIN places", /^ambiguous column name: app/],
  ["has too many values", [`${SELECT} WHERE id = ?`, ["a", "b"]], /./],
  ["is two", `${SELECT}; ${SELECT}`, /Multiple statements/]
]

describe("a subscription", () => {
  it.live("gives a snapshot, then changes as they are", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"))
        const listener = yield* subscribe(url, SELECT)
        assert.strictEqual(listener.status, 200)
        assert.match(String(idOf(listener)), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
        assert.match(String(listener.headers["corro-query-hash"]), /^[0-9a-f]{16}$/)
        assert.strictEqual(listener.headers["transfer-encoding"], "chunked")
        assert.isUndefined(listener.headers["content-type"])
        assert.deepStrictEqual(yield* listener.snapshot, [columns, { row: [1, ["m1", "shop", 1]] }, eoq(0)])

        yield* transact(url, insert("m2"), "UPDATE backends SET load = 1 WHERE id = 'm1'")
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["insert", 2, ["m2", "shop", 1], 1] }])
        yield* transact(url, "DELETE FROM backends WHERE id = 'm1'", "UPDATE backends SET app = 'x'")
        yield* control({ do: "tick" })
        // Upserts first; the last known cells of what is gone.
        assert.deepStrictEqual(yield* listener.next(2), [
          { change: ["update", 2, ["m2", "x", 1], 2] },
          { change: ["delete", 1, ["m1", "shop", 1], 3] }
        ])
        // Nothing but changes was sent between: no heartbeat, and not what it does not select.
        assert.deepStrictEqual(listener.rest(), { lines: [], partial: "" })
      })
    )
  )

  it.live("is shared by those who send the same text, and by no others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, subscriptions, url } = yield* manual()
        const where = `${SELECT} WHERE app = ?`
        const first = yield* subscribe(url, [where, ["shop"]])
        assert.deepStrictEqual(yield* first.snapshot, [columns, eoq(0)])
        yield* transact(url, insert("m1"), insert("m2", "other"))
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* first.next(1), [{ change: ["insert", 1, ["m1", "shop", 1], 1] }])
        // The values are part of the text.
        const joined = yield* subscribe(url, `${SELECT} WHERE app = 'shop'`)
        assert.strictEqual(idOf(joined), idOf(first))
        assert.strictEqual(joined.headers["corro-query-hash"], first.headers["corro-query-hash"])
        assert.deepStrictEqual(yield* joined.snapshot, [columns, { row: [1, ["m1", "shop", 1]] }, eoq(1)])
        const spaced = yield* subscribe(url, `${SELECT}  WHERE app = 'shop'`)
        const valued = yield* subscribe(url, [where, ["other"]])
        assert.strictEqual(new Set([first, spaced, valued].map(idOf)).size, 3)
        assert.deepStrictEqual(yield* spaced.snapshot, [columns, { row: [1, ["m1", "shop", 1]] }, eoq(0)])
        assert.deepStrictEqual(
          subscriptions().map(({ listeners }) => listeners),
          [2, 1, 1]
        )
        yield* transact(url, "UPDATE backends SET healthy = 0 WHERE id = 'm1'")
        yield* control({ do: "tick" })
        const change = (id: number) => [{ change: ["update", 1, ["m1", "shop", 0], id] }]
        assert.deepStrictEqual(yield* first.next(1), change(2))
        assert.deepStrictEqual(yield* joined.next(1), change(2))
        assert.deepStrictEqual(yield* spaced.next(1), change(1))
        assert.deepStrictEqual(valued.rest().lines, [columns, { row: [1, ["m2", "other", 1]] }, eoq(0)])
      })
    )
  )

  it.live("lets a row go that leaves its WHERE, and gives it a new rowid when it comes back", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"))
        const listener = yield* subscribe(url, `${SELECT} WHERE healthy = 1`)
        yield* listener.snapshot
        for (const healthy of [0, 1]) {
          yield* transact(url, ["UPDATE backends SET healthy = ?", [healthy]])
          yield* control({ do: "tick" })
        }
        assert.deepStrictEqual(yield* listener.next(2), [
          { change: ["delete", 1, ["m1", "shop", 1], 1] },
          { change: ["insert", 2, ["m1", "shop", 1], 2] }
        ])
      })
    )
  )

  it.live("sees the net effect of a batch only", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"), insert("m2"))
        const listener = yield* subscribe(url, SELECT)
        yield* listener.snapshot
        yield* transact(url, "UPDATE backends SET healthy = 0")
        yield* transact(url, "UPDATE backends SET healthy = 1")
        yield* transact(url, "DELETE FROM backends WHERE id = 'm2'")
        yield* transact(url, insert("m2", "x"))
        yield* transact(url, insert("m3"))
        yield* transact(url, "DELETE FROM backends WHERE id = 'm3'")
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["update", 2, ["m2", "x", 1], 1] }])
        yield* transact(url, insert("m4"))
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["insert", 3, ["m4", "shop", 1], 2] }])
      })
    )
  )

  it.live("is told of a batch after its tick, or at once when there are 1,000 rows", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        const listener = yield* subscribe(url, SELECT)
        yield* listener.snapshot
        const count = (rows: number) =>
          `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
           INSERT INTO backends (id) SELECT '${rows}-' || i FROM n`
        yield* transact(url, count(999))
        assert.deepStrictEqual(listener.rest().lines, [])
        yield* transact(url, count(1))
        assert.strictEqual((yield* listener.next(1_000)).length, 1_000)
        yield* control({ do: "tick-every", ms: 5 })
        yield* transact(url, count(2))
        yield* listener.next(2)
      })
    )
  )

  it.live("changes when any of its tables does", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"), "INSERT INTO places (app, city) VALUES ('shop', 'Ulm')")
        const listener = yield* subscribe(
          url,
          "SELECT b.id, p.city, size FROM backends AS b LEFT JOIN places p ON p.app = b.app WHERE b.healthy = 1 -- all"
        )
        assert.deepStrictEqual(yield* listener.snapshot, [
          { columns: ["id", "city", "size"] },
          { row: [1, ["m1", "Ulm", 1]] },
          eoq(0)
        ])
        yield* transact(url, "UPDATE places SET size = 2", "INSERT INTO places (app, city) VALUES ('shop', 'Bonn')")
        yield* control({ do: "tick" })
        assert.sameDeepMembers(
          [...(yield* listener.next(2))].map((line) => (line as { change: ReadonlyArray<unknown> }).change.slice(0, 3)),
          [
            ["update", 1, ["m1", "Ulm", 2]],
            ["insert", 2, ["m1", "Bonn", 1]]
          ]
        )
        yield* transact(url, "DELETE FROM places WHERE city = 'Ulm'")
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["delete", 1, ["m1", "Ulm", 2], 3] }])
      })
    )
  )

  it.live("takes a changed primary key for a deletion and an insertion", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"))
        const listener = yield* subscribe(url, SELECT)
        yield* listener.snapshot
        yield* transact(url, "UPDATE backends SET id = 'm2'")
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(2), [
          { change: ["insert", 2, ["m2", "shop", 1], 1] },
          { change: ["delete", 1, ["m1", "shop", 1], 2] }
        ])
      })
    )
  )

  it.live.each(refusals)("is refused when its statement %s", ([, json, error]) =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const refused = yield* ask(`${url}/v1/subscriptions`, { json })
      assert.strictEqual(refused.status, 400)
      assert.match((JSON.parse(refused.body) as { error: string }).error, error)
    })
  )

  it.live("binds NULL where values are missing, and ignores names that it does not have", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { subscriptions, url } = yield* manual()
        yield* transact(url, insert("m1"))
        const few = yield* subscribe(url, [`${SELECT} WHERE id = ? AND app IS ?`, ["m1"]])
        assert.deepStrictEqual(yield* few.snapshot, [columns, eoq(0)])
        yield* subscribe(url, [`${SELECT} WHERE id = :id`, { ":id": "m1", ":other": 1 }])
        assert.deepStrictEqual(
          subscriptions().map(({ sql }) => sql),
          [`${SELECT} WHERE id = 'm1' AND app IS NULL`, `${SELECT} WHERE id = 'm1'`]
        )
      })
    )
  )
})
