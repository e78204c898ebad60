import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { type Line, make } from "../../layers/corrosion/Lines.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { liveBytes } from "../support/heap.ts"

/** Lines of the bytes, cut into pieces of these sizes over and over. */
const linesOf = (bytes: Buffer, sizes: ReadonlyArray<number>, maxBytes?: number) => {
  const lines = make(maxBytes)
  const found: Array<Line> = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    found.push(...lines.push(bytes.subarray(at, at + size)))
    at += size
  }
  return { found, unfinished: lines.unfinished() }
}

const texts = Arbitrary.array(
  Arbitrary.map(Arbitrary.array(oneOf(["", "a", "é", "界", "😀", "{}", "\r", "\u2028"]), { maxLength: 8 }), (parts) =>
    parts.join("")
  ),
  { maxLength: 12 }
)
const sizes = Arbitrary.array(Arbitrary.schema(between(1, 7)), { minLength: 1, maxLength: 5 })

describe("lines of bytes", () => {
  it.prop("are the same wherever the bytes were cut, characters too", [texts, sizes], ([texts, sizes]) => {
    const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""))
    assert.deepStrictEqual(linesOf(bytes, sizes), { found: texts, unfinished: 0 })
  })

  it.prop("what has not ended is no line", [texts, sizes, Schema.NonEmptyString], ([texts, sizes, rest]) => {
    const tail = Buffer.from(rest.replaceAll("\n", "-"))
    const bytes = Buffer.concat([Buffer.from(texts.map((text) => `${text}\n`).join("")), tail])
    assert.deepStrictEqual(linesOf(bytes, sizes), { found: texts, unfinished: tail.length })
  })

  for (const size of [1, 63, 1_000, 1 << 20]) {
    it(`of one that is too long only its ends are kept, in pieces of ${size}`, () => {
      const long = `start ${"x".repeat(10_000)} end`
      const { found, unfinished } = linesOf(Buffer.from(`a\n${long}\nb\n${long}\n`), [size], 5_000)
      const ends = { head: long.slice(0, 1_024), tail: long.slice(-64) }
      assert.deepStrictEqual(found, ["a", ends, "b", ends])
      assert.strictEqual(unfinished, 0)
    })
  }

  it("the longest that is kept whole", () => {
    const { found } = linesOf(Buffer.from(`${"x".repeat(100)}\n${"x".repeat(101)}\n`), [7], 100)
    assert.deepStrictEqual(
      found.map((line) => typeof line),
      ["string", "object"]
    )
  })

  it("a hundred megabytes without an end take no more memory than a line", () => {
    const lines = make()
    const chunk = Buffer.alloc(65_536, "x")
    const before = liveBytes()
    for (let sent = 0; sent < 100_000_000; sent += chunk.length) {
      for (const line of lines.push(chunk)) assert.fail(String(line))
    }
    assert.isBelow(liveBytes() - before, 1_000_000)
    assert.isAtLeast(lines.unfinished(), 100_000_000)
  })
})
