import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Health from "../../src/domain/Health.ts"
import { between } from "../support/arbitraries.ts"

const results = Arbitrary.array(Arbitrary.schema(Schema.Boolean), { maxLength: 60 })
const threshold = Arbitrary.schema(between(1, 5))

/** H1 as it reads: goes back through the results to the last turn. */
const reference = (results: ReadonlyArray<boolean>, { fall, rise }: Health.HealthOptions): boolean => {
  let up = true
  let from = 0
  for (let end = 1; end <= results.length; end++) {
    const last = results.slice(Math.max(from, end - (up ? fall : rise)), end)
    if (last.length < (up ? fall : rise) || last.includes(up)) continue
    up = !up
    from = end
  }
  return up
}

describe("H1: what checks make of a backend", () => {
  it("a new one is up, and falls and rises with results in a row", () => {
    const options = { fall: 3, rise: 2 }
    const after = (...results: ReadonlyArray<boolean>): Health.Health =>
      results.reduce((health, passed) => Health.step(health, passed, options), Health.initial)
    assert.isTrue(after().up)
    assert.isTrue(after(false, false).up)
    assert.isFalse(after(false, false, false).up)
    assert.isTrue(after(false, false, true, false, false).up)
    assert.isFalse(after(false, false, false, true).up)
    assert.isTrue(after(false, false, false, true, true).up)
  })

  it.prop(
    "any results, against the rule as it reads",
    [results, threshold, threshold],
    ([results, fall, rise]) => {
      const options = { fall, rise }
      let health = Health.initial
      results.forEach((passed, index) => {
        health = Health.step(health, passed, options)
        assert.strictEqual(health.up, reference(results.slice(0, index + 1), options))
        assert.strictEqual(Health.isChanging(health), health.against > 0)
        assert.isBelow(health.against, health.up ? fall : rise)
      })
    },
    { arbitrary: { runs: 300, size: 60 } }
  )
})
