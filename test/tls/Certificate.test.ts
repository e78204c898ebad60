import { assert, describe, it } from "@effect/vitest"
import { chooser, expiresSoon, expiryWarning } from "../../src/tls/Certificate.ts"

const DAY = 86_400_000

describe("which certificate", () => {
  const pick = chooser([
    { names: ["default.example"] },
    { names: ["*.shop.example", "shop.example"] },
    { names: ["db.shop.example", "default.example"] }
  ])

  it("an exact name comes before a wildcard, the first of two that have it before the second", () => {
    assert.strictEqual(pick("db.shop.example"), 2)
    assert.strictEqual(pick("default.example"), 0)
    assert.strictEqual(pick("shop.example"), 1)
  })

  it("a wildcard stands for exactly one label", () => {
    assert.strictEqual(pick("a.shop.example"), 1)
    assert.isUndefined(pick("a.b.shop.example"))
    assert.isUndefined(pick("shop.other"))
    assert.isUndefined(pick("example"))
  })
})

describe("when a certificate ends", () => {
  it.each([
    [31, undefined, false],
    [29.9, 30, false],
    [6.9, 7, true],
    [0.5, 1, true],
    [-1, 1, true]
  ] as const)("in %d days", (days, warning, soon) => {
    assert.strictEqual(expiryWarning(1_000 * DAY + days * DAY, 1_000 * DAY), warning)
    assert.strictEqual(expiresSoon({ notAfter: 1_000 * DAY + days * DAY }, 1_000 * DAY), soon)
  })
})
