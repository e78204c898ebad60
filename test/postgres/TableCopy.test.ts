import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as TableCopy from "../../layers/postgres/TableCopy.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"

const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
const Change = Schema.Struct({ id: small, weight: small, removes: Schema.Boolean })
const Steps = Schema.Array(Schema.Array(Change))

interface Row {
  readonly weight: number
  readonly version: number
}

const digestOf = (table: ReadonlyMap<string, Row>): TableCopy.Digest => ({
  count: table.size,
  sum: Array.from(table.values()).reduce((sum, { version }) => sum + version, 0)
})

const give = (copy: TableCopy.TableCopy, table: ReadonlyMap<string, Row>, since: number): boolean => {
  copy.begin(since < 0)
  for (const [id, { version, weight }] of table) if (version > since) copy.take(id, { id, weight }, version)
  return copy.end(digestOf(table))
}

describe("TableCopy", () => {
  it.prop("is what the table is, whatever is changed, and keeps the rows that are not", [Steps], ([steps]) => {
    const table = new Map<string, Row>()
    const copy = TableCopy.make()
    let version = 0
    let since = -1
    let before: ReadonlyMap<unknown, BackendRow> = new Map()
    for (const changes of steps) {
      for (const { id, removes, weight } of changes) {
        if (removes) table.delete(`${id}`)
        else table.set(`${id}`, { weight, version: ++version })
      }
      if (!give(copy, table, since)) {
        assert.isAtLeast(since, 0, "a table that was read as a whole adds up")
        give(copy, table, -1)
      }
      since = version
      const rows = new Map(copy.rows().map((row) => [row["id"], row]))
      assert.deepStrictEqual(
        new Map(Array.from(rows, ([id, row]) => [id, row["weight"]])),
        new Map(Array.from(table, ([id, { weight }]) => [id, weight]))
      )
      assert.strictEqual(copy.rows().length, table.size)
      for (const [id, row] of rows) {
        if (before.get(id)?.["weight"] === row["weight"]) assert.strictEqual(row, before.get(id))
      }
      before = rows
    }
  })

  it("does not take rows of the same id for one", () => {
    const copy = TableCopy.make()
    copy.begin(true)
    copy.take("a", { id: "a", port: 1 }, 1)
    copy.take("a", { id: "a", port: 2 }, 2)
    assert.isTrue(copy.end({ count: 2, sum: 3 }))
    assert.strictEqual(copy.rows().length, 2)
    copy.begin(false)
    assert.isFalse(copy.end({ count: 2, sum: 3 }), "must be read as a whole")
  })
})
