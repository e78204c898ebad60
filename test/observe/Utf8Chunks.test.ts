import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Utf8Chunks from "../../src/observe/Utf8Chunks.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const bytesOf = (chunks: ReadonlyArray<Uint8Array>): string => Buffer.concat(chunks).toString("utf8")

const piece = Arbitrary.map(
  Arbitrary.all([oneOf(["a", "é", "界", "🙂"]), Arbitrary.schema(between(0, 30_000))]),
  ([character, count]) => character.repeat(count)
)

describe("text in chunks", () => {
  it.prop(
    "is the text, whatever its characters take, and no chunk is longer than agreed",
    [Arbitrary.array(piece)],
    ([pieces]) => {
      const text = Utf8Chunks.make(Utf8Chunks.takeNew)
      for (const each of pieces) text.append(each)
      const chunks = text.finish()
      assert.isTrue(bytesOf(chunks) === pieces.join(""))
      for (const { length } of chunks) {
        assert.isAbove(length, 0)
        assert.isAtMost(length, Utf8Chunks.CHUNK_BYTES)
      }
      assert.isAtMost(chunks.length, Math.ceil(Buffer.byteLength(pieces.join("")) / (Utf8Chunks.CHUNK_BYTES - 3)))
    }
  )

  it.prop(
    "neighbours that fit together are put together",
    [Arbitrary.array(Arbitrary.schema(between(1, 40_000)))],
    ([lengths]) => {
      const chunks = lengths.map((length, index) => new Uint8Array(length).fill(97 + (index % 26)))
      const together = Utf8Chunks.coalesce(chunks)
      assert.isTrue(bytesOf(together) === bytesOf(chunks))
      for (const [index, { length }] of together.entries()) {
        assert.isAtMost(length, Utf8Chunks.CHUNK_BYTES)
        const before = together[index - 1]?.length ?? Infinity
        assert.isAbove(before + length, Utf8Chunks.CHUNK_BYTES)
      }
    }
  )
})
