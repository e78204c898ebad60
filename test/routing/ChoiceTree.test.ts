import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { hashText, mix } from "../../src/domain/Hash.ts"
import * as ChoiceTree from "../../src/routing/ChoiceTree.ts"
import { between, oneOf, word } from "../support/arbitraries.ts"

const CLIENTS = 20_000
const clients = Array.from({ length: CLIENTS }, (_, index) => mix(index + 1))

interface Entry {
  readonly item: number
  readonly hash: number
  load: number
  weight: number
}

// Few values, so that many members share the lowest load.
const loads = oneOf([0, 0.25, 0.5, 1, 99.999, Infinity])
const weights = Arbitrary.schema(between(0, 3))
// Every other hash begins with the same digits: siblings in one branch.
const hashes = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Boolean), Arbitrary.schema(word)]),
  ([near, hash]) => (near ? (hash & 0x000fffff) | 0x7ff00000 : hash) >>> 0
)
const steps = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf(["add", "update", "add", "update", "remove"]),
    target: Arbitrary.schema(between(0, 1_000)),
    hash: hashes,
    load: loads,
    weight: weights
  }),
  { maxLength: 200 }
)

const lowestOf = (entries: Iterable<Entry>): number => {
  let lowest = Infinity
  for (const { load, weight } of entries) if (weight > 0) lowest = Math.min(lowest, load)
  return lowest
}

describe("against a list that is searched from end to end", () => {
  it.prop(
    "R1, R4: the lowest load is the list's, and whoever is chosen stands at it",
    [steps],
    ([steps]) => {
      const tree = ChoiceTree.make<number>()
      const entries = new Map<ChoiceTree.Member<number>, Entry>()
      for (const [item, { hash, kind, load, target, weight }] of steps.entries()) {
        const member = [...entries.keys()][target % Math.max(1, entries.size)]
        if (kind === "add" || member === undefined) {
          entries.set(tree.add(item, hash, load, weight), { item, hash, load, weight })
        } else if (kind === "update") {
          tree.update(member, load, weight)
          Object.assign(entries.get(member) ?? {}, { load, weight })
        } else {
          tree.remove(member)
          entries.delete(member)
        }
        const lowest = lowestOf(entries.values())
        assert.strictEqual(tree.size(), entries.size)
        assert.strictEqual(tree.lowest(), lowest)
        const best = [...entries.values()].filter((each) => each.load === lowest && each.weight > 0)
        const allowed = lowest === Infinity ? [undefined] : best.map((each) => each.item)
        for (const client of clients.slice(0, 5)) assert.include(allowed, tree.choose(client))
      }
    },
    { arbitrary: { runs: 200, size: 200 } }
  )

  it("removing a member twice, or updating a removed one, does nothing", () => {
    const tree = ChoiceTree.make<string>()
    const gone = tree.add("gone", 1, 0, 1)
    tree.add("stays", 2, 1, 1)
    tree.remove(gone)
    tree.remove(gone)
    tree.update(gone, 0, 5)
    assert.strictEqual(tree.size(), 1)
    assert.strictEqual(tree.lowest(), 1)
    assert.strictEqual(tree.choose(7), "stays")
  })
})

const treeOf = (entries: ReadonlyArray<Entry>): ChoiceTree.ChoiceTree<number> => {
  const tree = ChoiceTree.make<number>()
  for (const { hash, item, load, weight } of entries) tree.add(item, hash, load, weight)
  return tree
}

/** n members at no load, as fresh backends are. */
const fresh = (n: number, weightOf: (item: number) => number = () => 1): ReadonlyArray<Entry> =>
  Array.from({ length: n }, (_, item) => ({ item, hash: hashText(`b${item}`), load: 0, weight: weightOf(item) }))

const placeAll = (tree: ChoiceTree.ChoiceTree<number>): ReadonlyArray<number | undefined> =>
  clients.map((client) => tree.choose(client))

describe("R7: every POP makes the same choice", () => {
  const members = Arbitrary.array(Arbitrary.all({ hash: hashes, load: loads, weight: weights }), { maxLength: 60 })

  it.prop(
    "in whatever order the members came",
    [members, word],
    ([members, seed]) => {
      const distinct = new Map(members.map((member) => [member.hash, member]))
      const entries = [...distinct.values()].map((member, item) => ({ ...member, item }))
      const shuffled = entries.toSorted((a, b) => mix(seed ^ a.item) - mix(seed ^ b.item))
      const [one, other] = [treeOf(entries), treeOf(shuffled)]
      for (const client of clients.slice(0, 50)) assert.strictEqual(one.choose(client), other.choose(client))
    },
    { arbitrary: { size: 60 } }
  )

  it("also between members of one hash, told apart by their salt, who get equal shares", () => {
    const salts = [7, 8]
    const [one, other] = [salts, salts.toReversed()].map((order) => {
      const tree = ChoiceTree.make<number>((salt) => salt)
      for (const salt of order) tree.add(salt, 0xabcdef01, 0, 1)
      return placeAll(tree)
    })
    assert.deepStrictEqual(one, other)
    assert.approximately(one?.filter((salt) => salt === 7).length ?? 0, CLIENTS / 2, 400)
  })

  it("whatever came and went before", () => {
    const kept = fresh(40)
    const worn = treeOf(kept)
    const others = Array.from({ length: 200 }, (_, n) => worn.add(1_000 + n, hashText(`x${n}`), n % 3, 1 + (n % 5)))
    for (const other of others) worn.remove(other)
    assert.deepStrictEqual(placeAll(worn), placeAll(treeOf(kept)))
  })
})

describe("R7: at equal load shares follow the weights", () => {
  it.each([
    ["3 equal members", 3, () => 1],
    ["20 members of weights 1 to 4", 20, (item: number) => 1 + (item % 4)],
    ["one of weight 1000 among ones", 10, (item: number) => (item === 0 ? 1_000 : 1)],
    ["300 members, several to a branch", 300, (item: number) => 1 + (item % 2)]
  ])("%s", (_, n, weightOf) => {
    const entries = fresh(n, weightOf)
    const total = entries.reduce((sum, { weight }) => sum + weight, 0)
    const counts = Array.from({ length: n }, () => 0)
    for (const item of placeAll(treeOf(entries))) if (item !== undefined) counts[item] = (counts[item] ?? 0) + 1
    for (const { item, weight } of entries) {
      const share = weight / total
      // Five standard deviations of a fair draw.
      const tolerance = 5 * Math.sqrt(CLIENTS * share * (1 - share)) + 1
      assert.approximately(counts[item] ?? 0, CLIENTS * share, tolerance, `member ${item} of weight ${weight}`)
    }
  })

  it("a member above the lowest load gets none", () => {
    const entries = fresh(3).map((entry) => ({ ...entry, load: entry.item === 1 ? 0.01 : 0 }))
    assert.notInclude(placeAll(treeOf(entries)), 1)
  })
})

describe("R7: few clients move when a member comes or goes", () => {
  it.each([3, 20, 300, 2_000])("one of %i", (n) => {
    const entries = fresh(n)
    const tree = treeOf(entries)
    const before = placeAll(tree)
    // The mean over some members, so that the noise of a small share averages out.
    const sample = entries.slice(0, 12)
    let moved = 0
    for (const { hash, item } of sample) {
      const smaller = treeOf(entries.filter((entry) => entry.item !== item))
      const without = placeAll(smaller)
      assert.notInclude(without, item)
      smaller.add(item, hash, 0, 1)
      assert.deepStrictEqual(placeAll(smaller), before, "back as it was")
      for (const [at, chosen] of before.entries()) if (chosen !== without[at]) moved++
    }
    const share = CLIENTS / n
    assert.isAtLeast(moved / sample.length, share * 0.7)
    assert.isAtMost(moved / sample.length, share * 3.5)
  })

  it("a member whose weight falls to 0 moves its own share at most three and a half times", () => {
    const entries = fresh(50)
    const before = placeAll(treeOf(entries))
    const after = placeAll(treeOf(entries.map((entry) => (entry.item === 7 ? { ...entry, weight: 0 } : entry))))
    const moved = before.filter((chosen, at) => chosen !== after[at]).length
    assert.notInclude(after, 7)
    assert.isAtMost(moved, (CLIENTS / 50) * 3.5)
  })
})
