import { assert, describe, it } from "@effect/vitest"
import * as RowTable from "../../layers/corrosion/RowTable.ts"
import { backendColumns, decodeBackend } from "../../src/domain/Backend.ts"

const row = (id: string, weight = 1) => [id, "shop", "eu", "", "10.0.0.1", 80, 1, weight, 100, 150, 0]

const filled = (...rows: ReadonlyArray<ReadonlyArray<unknown>>): RowTable.RowTable => {
  const table = RowTable.make(backendColumns)
  const collected = table.collect()
  rows.forEach((cells, index) => assert.isTrue(collected.add(index + 1, cells)))
  collected.swap()
  return table
}

const ids = (table: RowTable.RowTable) => table.rows()?.map(({ id }) => id)

describe("a table of rows", () => {
  it("has none before its first snapshot is whole", () => {
    const table = RowTable.make(backendColumns)
    const collected = table.collect()
    collected.add(1, row("a"))
    assert.isUndefined(table.rows())
    assert.isTrue(collected.differs())
    collected.swap()
    assert.deepStrictEqual(ids(table), ["a"])
  })

  it("keeps the object of a row that says the same, under another row id too, and drops what is absent", () => {
    const table = filled(row("a"), row("b"), row("c"))
    const [a, b] = table.rows() ?? []
    const collected = table.collect()
    collected.add(8, row("b"))
    collected.add(9, row("a", 5))
    assert.isTrue(collected.differs())
    assert.deepStrictEqual(ids(table), ["a", "b", "c"])
    collected.swap()
    const [first, second, ...others] = table.rows() ?? []
    assert.strictEqual(first, b)
    assert.notStrictEqual(second, a)
    assert.strictEqual(second?.["weight"], 5)
    assert.deepStrictEqual(others, [])
  })

  it("knows a snapshot that says nothing new", () => {
    const table = filled(row("a"), row("b"))
    const same = table.collect()
    same.add(5, row("b"))
    same.add(6, row("a"))
    assert.isFalse(same.differs())
    const fewer = table.collect()
    fewer.add(5, row("b"))
    assert.isTrue(fewer.differs())
    // What is changed meanwhile may be in it or not.
    table.put(1, row("a", 2))
    assert.isTrue(same.differs())
  })

  it("takes changes one by one", () => {
    const table = filled(row("a"), row("b"))
    const [a] = table.rows() ?? []
    assert.strictEqual(table.put(1, row("a")), false)
    assert.strictEqual(table.rows()?.[0], a)
    assert.strictEqual(table.put(2, row("b", 9)), true)
    assert.strictEqual(table.put(3, row("c")), true)
    assert.strictEqual(table.remove(1), true)
    assert.strictEqual(table.remove(1), false)
    assert.deepStrictEqual(ids(table), ["b", "c"])
    assert.isUndefined(table.named("a"))
    assert.strictEqual(table.named("b"), table.rows()?.[0])
  })

  it("follows a row that gets another name", () => {
    const table = filled(row("a"))
    table.put(1, row("z"))
    assert.deepStrictEqual(ids(table), ["z"])
    assert.isUndefined(table.named("a"))
  })

  it("refuses what no agent sends", () => {
    const table = filled(row("a"))
    for (const cells of [[], ["a"], [...row("a"), 1], [true, ...row("a").slice(1)], [{}, ...row("a").slice(1)]]) {
      assert.isUndefined(table.put(1, cells))
      assert.isFalse(table.collect().add(1, cells))
    }
    assert.deepStrictEqual(ids(table), ["a"])
  })

  it("cuts texts that no row can have, and leaves the verdict to who decodes the row (R9)", () => {
    const huge = "界".repeat(100_000)
    const table = filled(
      row(huge),
      ["b", huge, ...row("").slice(2)],
      ["c", [1, 2, 3], ...row("").slice(2)],
      row("good")
    )
    table.put(9, { _tag: "Unreadable", first: "d" })
    table.put(10, { _tag: "Unreadable", first: undefined })
    const rows = table.rows() ?? []
    assert.isBelow(JSON.stringify(rows).length, 5_000)
    assert.deepStrictEqual(
      rows.map((each) => decodeBackend(each)._tag),
      ["Bad", "Bad", "Bad", "Backend", "Bad", "Bad"]
    )
  })
})
