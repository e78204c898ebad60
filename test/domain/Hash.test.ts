import { assert, describe, it } from "@effect/vitest"
import { combine, hashText, mix, unit } from "../../src/domain/Hash.ts"
import { word } from "../support/arbitraries.ts"

const bitsOf = (value: number): number => {
  let count = 0
  for (let rest = value; rest !== 0; rest >>>= 1) count += rest & 1
  return count
}

// A change of these moves clients to other backends, and away from what other POPs choose while versions mix.
describe("R7: hashes never change", () => {
  it.each([
    ["", 2_872_998_923],
    ["a", 444_641_715],
    ["b1", 1_096_793_167],
    ["*", 1_028_444_025],
    ["web", 87_520_214],
    ["é", 3_136_788_073],
    ["backend-10000", 2_264_358_336]
  ])("hashText(%j)", (text, expected) => {
    assert.strictEqual(hashText(text), expected)
  })

  it.each([
    [0, 0, 2_403_069_985],
    [1, 1_364_076_727, 2_774_873_891],
    [2, 821_347_078, 1_259_097_482],
    [0x80000000, 1_832_674_720, 4_052_456_109],
    [0xffffffff, 2_180_083_513, 2_299_197_680]
  ])("mix(%i) and combine(%i, 7)", (value, mixed, combined) => {
    assert.strictEqual(mix(value), mixed)
    assert.strictEqual(combine(value, 7), combined)
  })
})

describe("hashes scatter", () => {
  it.prop("32 unsigned bits, and a unit inside (0, 1)", [word, word], ([a, b]) => {
    for (const hash of [mix(a), combine(a, b)]) {
      assert.strictEqual(hash, hash >>> 0)
      assert.isAbove(unit(hash), 0)
      assert.isBelow(unit(hash), 1)
    }
  })

  it("the ends of the range are inside too", () => {
    assert.isAbove(unit(0), 0)
    assert.isBelow(unit(0xffffffff), 1)
  })

  it("each input bit changes about half of the output bits", () => {
    const samples = 2_000
    for (const hash of [mix, (value: number) => combine(value, 12_345), (value: number) => combine(12_345, value)]) {
      for (let bit = 0; bit < 32; bit++) {
        let changed = 0
        for (let i = 0; i < samples; i++) changed += bitsOf(hash(i * 7_919) ^ hash((i * 7_919) ^ (1 << bit)))
        assert.approximately(changed / samples, 16, 1, `bit ${bit}`)
      }
    }
  })

  it("names that differ in a number fill 64 buckets evenly, by their first and their last bits", () => {
    const first = Array.from({ length: 64 }, () => 0)
    const last = Array.from({ length: 64 }, () => 0)
    for (let i = 0; i < 64_000; i++) {
      const hash = hashText(`backend-${i}`)
      first[hash >>> 26] = (first[hash >>> 26] ?? 0) + 1
      last[hash & 63] = (last[hash & 63] ?? 0) + 1
    }
    // Five standard deviations of a fair draw.
    for (const count of [...first, ...last]) assert.approximately(count, 1_000, 160)
  })
})
