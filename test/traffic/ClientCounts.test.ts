import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { formatClientKey } from "../../src/domain/Client.ts"
import * as ClientCounts from "../../src/traffic/ClientCounts.ts"
import { between, word } from "../support/arbitraries.ts"
import { client, clientNumber } from "../support/fixtures.ts"

const steps = Arbitrary.array(Arbitrary.all([Arbitrary.schema(between(0, 2)), Arbitrary.schema(between(0, 600))]), {
  minLength: 1,
  maxLength: 1_000
})

// Both families, some of them with equal words.
const keyOf = (index: number) =>
  index % 2 === 0
    ? clientNumber(index >>> 1).key
    : client(`0:${(index % 8) >>> 1}:b00:${(index >>> 1).toString(16)}::1`).key

describe("the live connections of each client", () => {
  it.prop("are those that were added and not removed", [steps, word], ([list, seed]) => {
    const counts = ClientCounts.make(seed)
    const expected = new Map<string, number>()
    for (const [what, index] of list) {
      const key = keyOf(index)
      const text = formatClientKey(key)
      const count = expected.get(text) ?? 0
      if (what > 0) {
        counts.add(key)
        expected.set(text, count + 1)
      } else {
        counts.remove(key)
        if (count > 1) expected.set(text, count - 1)
        else expected.delete(text)
      }
      assert.strictEqual(counts.of(key), expected.get(text) ?? 0)
      assert.strictEqual(counts.size(), expected.size)
    }
    for (let index = 0; index <= 600; index++) {
      assert.strictEqual(counts.of(keyOf(index)), expected.get(formatClientKey(keyOf(index))) ?? 0)
    }
  })

  it("of 200,000 clients are counted, and forgotten with their connections", () => {
    const counts = ClientCounts.make(5)
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 200_000; index++) counts.add(clientNumber(index).key)
    }
    assert.strictEqual(counts.size(), 200_000)
    let wrong = 0
    for (let index = 0; index < 200_000; index++) {
      const { key } = clientNumber(index)
      if (counts.of(key) !== 2) wrong++
      counts.remove(key)
      if (index % 2 === 0) counts.remove(key)
    }
    assert.strictEqual(counts.size(), 100_000)
    for (let index = 0; index < 200_000; index++) {
      if (counts.of(clientNumber(index).key) !== index % 2) wrong++
    }
    assert.strictEqual(wrong, 0)
  })
})
