import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import { pageOf } from "../../src/api/page.ts"
import { between } from "../support/arbitraries.ts"

const numbers = Arbitrary.array(Arbitrary.schema(between(0, 300)), { maxLength: 120 })
const limits = Arbitrary.schema(between(1, 40))
const moves = Arbitrary.array(Arbitrary.schema(between(-300, 300)), { maxLength: 200 })

const all = Effect.fnUntraced(function* (keys: Set<number>, limit: number, between: (page: number) => void) {
  const seen: Array<number> = []
  let after: number | undefined
  for (let page = 0; ; page++) {
    const found = yield* pageOf(keys, (key) => key, { after, limit })
    assert.isAtMost(found.items.length, limit)
    seen.push(...found.items)
    after = found.next
    if (after === undefined) return seen
    between(page)
  }
})

describe("pages", () => {
  it.effect.prop("are the whole, in order", [numbers, limits], ([keys, limit]) =>
    Effect.gen(function* () {
      const set = new Set(keys)
      const seen = yield* all(set, limit, () => undefined)
      assert.deepStrictEqual(
        seen,
        Array.from(set).sort((a, b) => a - b)
      )
    })
  )

  it.effect.prop(
    "show what stays exactly once, whatever comes and goes",
    [numbers, limits, moves],
    ([keys, limit, moves]) =>
      Effect.gen(function* () {
        const set = new Set(keys)
        const stays = new Set(keys)
        const seen = yield* all(set, limit, (page) => {
          for (const move of moves.slice(page * 5, page * 5 + 5)) {
            if (move >= 0) set.add(move)
            else {
              set.delete(-move)
              stays.delete(-move)
            }
          }
        })
        assert.strictEqual(new Set(seen).size, seen.length)
        for (const key of stays) assert.include(seen, key)
      })
  )

  it.effect("leave out what has no key, and say how many there are in all", () =>
    Effect.gen(function* () {
      const odd = (n: number) => (n % 2 === 1 ? n : undefined)
      const page = yield* pageOf([5, 4, 3, 2, 1], odd, { after: 1, limit: 1 })
      assert.deepStrictEqual(page, { items: [3], next: 3, total: 3 })
    })
  )
})
