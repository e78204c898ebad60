import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Tallies from "../../src/observe/Tallies.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const COLUMNS = 3

const step = Arbitrary.all({
  what: oneOf(["allocate", "add", "free"]),
  which: Arbitrary.schema(between(0, 1_000)),
  column: Arbitrary.schema(between(0, COLUMNS - 1)),
  amount: Arbitrary.schema(Schema.Natural)
})

describe("rows of counters", () => {
  it.prop("count each for itself, from zero, also in a row that was another's", [Arbitrary.array(step)], ([steps]) => {
    const tallies = Tallies.make(COLUMNS)
    const rows: Array<{ readonly row: number; readonly expected: Array<number> }> = []
    for (const { amount, column, what, which } of steps) {
      const at = which % Math.max(1, rows.length)
      const held = rows[at]
      if (what === "allocate" || held === undefined) rows.push({ row: tallies.allocate(), expected: [0, 0, 0] })
      else if (what === "add") {
        tallies.add(held.row, column, amount)
        held.expected[column] = (held.expected[column] ?? 0) + amount
      } else {
        tallies.free(held.row)
        rows.splice(at, 1)
      }
      tallies.add(Tallies.BIN, column, amount)
    }
    assert.strictEqual(new Set(rows.map(({ row }) => row)).size, rows.length)
    for (const { expected, row } of rows) {
      assert.notStrictEqual(row, Tallies.BIN)
      assert.deepStrictEqual(
        expected.map((_, column) => tallies.get(row, column)),
        expected
      )
    }
  })

  it("grow without mixing rows up, and take back the bin without harm", () => {
    const tallies = Tallies.make(COLUMNS)
    tallies.free(Tallies.BIN)
    const rows = Array.from({ length: 5_000 }, tallies.allocate)
    for (const row of rows) tallies.add(row, 2, row)
    assert.deepStrictEqual(
      rows.map((row) => tallies.get(row, 2)),
      rows
    )
    assert.notInclude(rows, Tallies.BIN)
  })

  it("count beyond 32 bits", () => {
    const tallies = Tallies.make(COLUMNS)
    const row = tallies.allocate()
    for (let i = 0; i < 4; i++) tallies.add(row, 1, 3_000_000_000)
    assert.strictEqual(tallies.get(row, 1), 12_000_000_000)
  })
})
