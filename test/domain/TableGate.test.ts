import { assert, describe, it } from "@effect/vitest"
import { mustHold } from "../../src/domain/TableGate.ts"
import { between } from "../support/arbitraries.ts"

describe("T5: what the gate holds", () => {
  it.each([
    // eligible, lost, largest share, held
    [4, 2, 0.5, false],
    [4, 3, 0.5, true],
    [5, 2, 0.5, false],
    [5, 3, 0.5, true],
    [100, 50, 0.5, false],
    [100, 51, 0.5, true],
    [4, 1, 0, true],
    [4, 0, 0, false],
    [100, 100, 1, false],
    [3, 3, 0, false],
    [1, 1, 0.5, false],
    [0, 0, 0.5, false]
  ])("of %i eligible ones %i lost, %f allowed: %s", (eligible, lost, maxShrink, held) => {
    assert.strictEqual(mustHold({ eligible, lost }, maxShrink), held)
  })

  it.prop("fewer than four are never held", [between(0, 3), between(0, 3)], ([eligible, lost]) => {
    assert.isFalse(mustHold({ eligible, lost: Math.min(lost, eligible) }, 0))
  })

  it.prop("more losses never pass where fewer are held", [between(4, 1_000), between(0, 1_000)], ([eligible, lost]) => {
    if (mustHold({ eligible, lost }, 0.5)) assert.isTrue(mustHold({ eligible, lost: lost + 1 }, 0.5))
    assert.isFalse(mustHold({ eligible, lost: 0 }, 0.5))
  })
})
