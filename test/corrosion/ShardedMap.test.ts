import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as ShardedMap from "../../layers/corrosion/ShardedMap.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const actions = Arbitrary.array(
  Arbitrary.all([
    oneOf(["set", "set", "delete"] as const),
    Arbitrary.schema(between(0, 700)),
    Arbitrary.schema(Schema.Int)
  ]),
  { maxLength: 200 }
)

describe("a map of small maps", () => {
  for (const [keys, keyOf] of [
    ["numbers", (key: number): number | string => key],
    ["texts", (key: number): number | string => (key === 0 ? "" : `node-${key}-é`)]
  ] as const) {
    it.prop(`does what a map does, with ${keys}`, [actions], ([actions]) => {
      const model = new Map<number | string, number>()
      const map = ShardedMap.make<number | string, number>()
      for (const [action, number, value] of actions) {
        const key = keyOf(number)
        if (action === "set") {
          model.set(key, value)
          map.set(key, value)
        } else assert.strictEqual(map.delete(key), model.delete(key))
        assert.strictEqual(map.get(key), model.get(key))
        assert.strictEqual(map.size(), model.size)
      }
      const order = (a: number, b: number): number => a - b
      assert.deepStrictEqual(map.values().sort(order), Array.from(model.values()).sort(order))
    })
  }
})
