import { assert, describe, it } from "@effect/vitest"
import { isExpired } from "../../src/domain/Binding.ts"
import { between } from "../support/arbitraries.ts"

describe("A1: when a binding expires", () => {
  it.each([
    ["just before the TTL", 0, 999, false],
    ["at the TTL", 0, 1_000, true],
    ["long after", 0, 1_000_000, true],
    ["while a connection is open", 1, 1_000_000, false],
    ["at once after its last use", 0, 0, false]
  ])("%s", (_, open, age, expired) => {
    assert.strictEqual(isExpired({ lastUsed: 500, open }, 500 + age, 1_000), expired)
  })

  it.prop(
    "once expired it stays so until it is used",
    [between(0, 10_000), between(0, 10_000), between(1, 10_000)],
    ([lastUsed, age, ttl]) => {
      const binding = { lastUsed, open: 0 }
      assert.strictEqual(isExpired(binding, lastUsed + age, ttl), age >= ttl)
      if (isExpired(binding, lastUsed + age, ttl)) assert.isTrue(isExpired(binding, lastUsed + age + 1, ttl))
      assert.isFalse(isExpired({ ...binding, open: 1 }, lastUsed + age, ttl))
    }
  )
})
