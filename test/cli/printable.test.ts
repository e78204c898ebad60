import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import { printable, printableJson, printableLines } from "../../src/cli/printable.ts"
import { textFields, textTable } from "../../src/cli/textTable.ts"
import { oneOf } from "../support/arbitraries.ts"

/** Text that nobody would have in a table by accident. */
const hostile = Arbitrary.map(
  Arbitrary.array(
    oneOf([
      "a",
      "界",
      "\u{1f600}",
      "\u001b[2J",
      "\u009b31m",
      "\r",
      "\n",
      "\u0000",
      "\u007f",
      "\u202e",
      "\u200b",
      "\u2028",
      "\ud800",
      "\udfff",
      "\u{e0001}",
      '"',
      "\\"
    ]),
    { maxLength: 20 }
  ),
  (parts) => parts.join("")
)

const harmless = /^[^\p{C}\p{Zl}\p{Zp}]*$/u

describe("text from elsewhere on a terminal", () => {
  it("is spelt out where it would act", () => {
    assert.strictEqual(printable("a\u001b[2Jb\u009b\u202e\u{e0001}"), "a\\x1b[2Jb\\x9b\\u{202e}\\u{e0001}")
    assert.strictEqual(printable("São Paulo 界"), "São Paulo 界")
    assert.strictEqual(printableLines("one\u0007\ntwo"), "one\\x07\ntwo")
  })

  it.effect.prop("never holds a character that acts", [hostile], ([text]) =>
    Effect.sync(() => {
      assert.match(printable(text), harmless)
      for (const line of printableLines(text).split("\n")) assert.match(line, harmless)
    })
  )

  it.effect.prop("as JSON neither, and reads back as what it was", [hostile, hostile], ([key, value]) =>
    Effect.sync(() => {
      const given = { [`key ${key}`]: [value, 1, null, { value }] }
      const json = printableJson(given)
      for (const line of json.split("\n")) assert.match(line, harmless)
      assert.deepStrictEqual(JSON.parse(json), given)
    })
  )

  it.effect.prop("stays in its cell of a table", [hostile, hostile], ([one, two]) =>
    Effect.sync(() => {
      const text = textTable(
        [{ one, two }],
        [
          { name: "one", show: ({ one }) => one },
          { name: "two", show: ({ two }) => two }
        ]
      )
      const lines = text.split("\n")
      assert.lengthOf(lines, 2)
      for (const line of lines) assert.match(line, harmless)
      assert.lengthOf(textFields({ one, two }).split("\n"), 2)
    })
  )
})

describe("a table", () => {
  it("is aligned, also with wide characters, numbers to the right", () => {
    const rows = [
      { name: "界界", count: 5, on: true },
      { name: "a-long-name", count: 12_345, on: false },
      { name: "", count: null, on: undefined }
    ]
    assert.strictEqual(
      textTable(rows, [
        { name: "name", show: ({ name }) => name },
        { name: "count", show: ({ count }) => count, right: true },
        { name: "on", show: ({ on }) => on }
      ]),
      ["NAME         COUNT  ON", "界界             5  yes", "a-long-name  12345  no", "-                -  -"].join(
        "\n"
      )
    )
  })
})
