import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as DeadlineWheel from "../../src/traffic/DeadlineWheel.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const TICK_MS = 10
/** One turn of the wheel. */
const ROTATION_MS = 512 * TICK_MS
const START_MS = 1_000_003

interface Item extends DeadlineWheel.Waiting {
  readonly name: number
  /** What the test expects; undefined while it does not wait. */
  due: number | undefined
}

const item = (name: number): Item => ({ name, dueTick: 0, due: undefined })

const steps = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf(["wake", "advance", "advance", "wake", "cancel"]),
    name: Arbitrary.schema(between(0, 9)),
    after: oneOf([0, 1, 9, 10, 11, 35, 200, 1_000, 4_999, ROTATION_MS, ROTATION_MS + 5, 3 * ROTATION_MS + 77, -50]),
    step: oneOf([10, 1, 7, 3])
  }),
  { maxLength: 300 }
)

describe("against a list of deadlines", () => {
  it.prop(
    "everyone is woken once, never before its time and at most two ticks after",
    [steps, between(0, 40)],
    ([steps, again]) => {
      const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
      const items = Array.from({ length: 10 }, (_, name) => item(name))
      let now = START_MS
      const advance = (): void => {
        wheel.advance(now, (woken) => {
          if (woken.due === undefined) assert.fail(`${woken.name} was not waiting`)
          if (now < woken.due) assert.fail(`${woken.name} was woken too early`)
          woken.due = undefined
          // Now and then whoever is woken waits on at once.
          if (again > 0 && woken.name % 3 === 0) wait(woken, now + again * 40)
        })
        const overdue = items.find(({ due }) => due !== undefined && now - due >= 2 * TICK_MS + 10)
        if (overdue !== undefined) assert.fail(`${overdue.name} is overdue`)
      }
      const wait = (who: Item, at: number): void => {
        wheel.wakeAt(who, at)
        // An earlier time that it waits for already stands; what has passed counts as now.
        who.due = Math.min(who.due ?? Infinity, Math.max(at, now))
      }
      for (const { after, kind, name, step } of steps) {
        const who = items[name]
        if (who === undefined) continue
        if (kind === "wake") wait(who, now + after)
        else if (kind === "cancel") {
          wheel.cancel(who)
          who.due = undefined
        } else {
          for (let left = Math.min(after, 400); left >= 0; left -= step) {
            now += step
            advance()
          }
        }
      }
      for (const who of items) if (who.name % 3 === 0) wheel.cancel(Object.assign(who, { due: undefined }))
      for (let left = 4 * ROTATION_MS; left >= 0; left -= TICK_MS) {
        now += TICK_MS
        advance()
      }
      for (const { due, name } of items) assert.isUndefined(due, `${name} was never woken`)
    },
    { arbitrary: { runs: 60, size: 300 } }
  )
})

/** Advances tick by tick for so long; the times, from the start, at which the item was woken. */
const wokenAt = (wheel: DeadlineWheel.DeadlineWheel<Item>, from: number, forMs: number): ReadonlyArray<number> => {
  const times: Array<number> = []
  for (let after = TICK_MS; after <= forMs; after += TICK_MS) {
    wheel.advance(START_MS + from + after, () => times.push(from + after))
  }
  return times
}

describe("a deadline", () => {
  it.each([1, 10, 95, 100, ROTATION_MS - 1, ROTATION_MS, ROTATION_MS + 1, 5 * ROTATION_MS + 42])(
    "of %i ms is met once",
    (after) => {
      const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
      wheel.wakeAt(item(1), START_MS + after)
      const times = wokenAt(wheel, 0, 6 * ROTATION_MS)
      assert.strictEqual(times.length, 1)
      assert.isAtLeast(times[0] ?? 0, after)
      assert.isAtMost(times[0] ?? 0, after + 2 * TICK_MS)
    }
  )

  it("may come earlier, not later", () => {
    const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
    const who = item(1)
    wheel.wakeAt(who, START_MS + 500)
    wheel.wakeAt(who, START_MS + 900)
    wheel.wakeAt(who, START_MS + 200)
    const times = wokenAt(wheel, 0, 1_000)
    assert.deepStrictEqual(times, [210])
  })

  it("can be moved away by the one who is woken", () => {
    const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
    const who = item(1)
    const times: Array<number> = []
    wheel.wakeAt(who, START_MS + 100)
    for (let after = TICK_MS; after <= 500; after += TICK_MS) {
      wheel.advance(START_MS + after, () => {
        times.push(after)
        if (times.length < 3) wheel.wakeAt(who, START_MS + after + 100)
      })
    }
    assert.deepStrictEqual(times, [110, 220, 330])
  })

  it("that is cancelled is not met, and may be set anew", () => {
    const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
    const who = item(1)
    wheel.wakeAt(who, START_MS + 100)
    wheel.cancel(who)
    assert.deepStrictEqual(wokenAt(wheel, 0, 200), [])
    wheel.wakeAt(who, START_MS + 300)
    assert.deepStrictEqual(wokenAt(wheel, 200, 200), [310])
  })

  it("is met once even when set, cancelled and set again in the same place", () => {
    const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
    const who = item(1)
    for (let turn = 0; turn < 3; turn++) {
      wheel.wakeAt(who, START_MS + 100)
      wheel.cancel(who)
    }
    wheel.wakeAt(who, START_MS + 100)
    assert.deepStrictEqual(wokenAt(wheel, 0, 2 * ROTATION_MS), [110])
  })

  it("is met after a long pause of whoever advances the wheel", () => {
    const wheel = DeadlineWheel.make<Item>(TICK_MS, START_MS)
    const [soon, late] = [item(1), item(2)]
    wheel.wakeAt(soon, START_MS + 50)
    wheel.wakeAt(late, START_MS + 10 * ROTATION_MS)
    const woken: Array<number> = []
    wheel.advance(START_MS + 9 * ROTATION_MS, ({ name }) => woken.push(name))
    assert.deepStrictEqual(woken, [1])
    wheel.advance(START_MS + 11 * ROTATION_MS, ({ name }) => woken.push(name))
    assert.deepStrictEqual(woken, [1, 2])
  })
})
