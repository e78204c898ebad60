import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as SlotWheel from "../../layers/transport-splice/SlotWheel.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const TICK_MS = 10
/** One turn of the wheel. */
const ROTATION_MS = 512 * TICK_MS
const START_MS = 1_000_003
const SLOTS = 10

const steps = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf(["wake", "advance", "advance", "wake", "cancel"]),
    slot: Arbitrary.schema(between(0, SLOTS - 1)),
    after: oneOf([0, 1, 9, 10, 11, 35, 200, 1_000, 4_999, ROTATION_MS, ROTATION_MS + 5, 3 * ROTATION_MS + 77, -50]),
    step: oneOf([10, 1, 7, 3])
  }),
  { maxLength: 300 }
)

describe("against a list of deadlines", () => {
  it.prop(
    "every slot is woken once, never before its time and at most two ticks after",
    [steps, between(0, 40)],
    ([steps, again]) => {
      const wheel = SlotWheel.make(SLOTS, TICK_MS, START_MS)
      const due = new Map<number, number>()
      let now = START_MS
      const wait = (slot: number, at: number): void => {
        wheel.wakeAt(slot, at)
        // An earlier time that it waits for already stands; what has passed counts as now.
        due.set(slot, Math.min(due.get(slot) ?? Infinity, Math.max(at, now)))
      }
      const advance = (): void => {
        wheel.advance(now, (slot) => {
          const at = due.get(slot)
          if (at === undefined) return assert.fail(`${slot} was not waiting`)
          if (now < at) return assert.fail(`${slot} was woken too early`)
          due.delete(slot)
          // Now and then whoever is woken waits on at once, or has another give up.
          if (again > 0 && slot % 3 === 0) wait(slot, now + again * 40)
          if (slot % 3 === 1) {
            wheel.cancel(slot + 1)
            due.delete(slot + 1)
          }
        })
        const overdue = [...due].find(([, at]) => now - at >= 2 * TICK_MS + 10)
        if (overdue !== undefined) assert.fail(`${overdue[0]} is overdue`)
      }
      for (const { after, kind, slot, step } of steps) {
        if (kind === "wake") wait(slot, now + after)
        else if (kind === "cancel") {
          wheel.cancel(slot)
          due.delete(slot)
        } else {
          now += step
          advance()
        }
      }
      for (let i = 0; i < 4 * 512 + 200 && due.size > 0; i++) {
        now += TICK_MS
        advance()
        if (again > 0 && [...due.keys()].every((slot) => slot % 3 === 0)) break
      }
      if (again === 0) assert.strictEqual(due.size, 0)
    }
  )

  it("what is due in the far future is looked at now and then, and not lost", () => {
    const wheel = SlotWheel.make(1, TICK_MS, 0)
    wheel.wakeAt(0, 1e15)
    for (let now = 0; now < 100_000; now += 1_000) wheel.advance(now, () => assert.fail("too early"))
    wheel.cancel(0)
    wheel.wakeAt(0, 100_500)
    let woken = 0
    wheel.advance(100_600, () => woken++)
    assert.strictEqual(woken, 1)
  })
})
