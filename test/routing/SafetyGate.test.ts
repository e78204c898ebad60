import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { row } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as tableRig from "../support/tableRig.ts"

const { HOLD_MS, rows } = tableRig

/** Ten backends, all of them eligible. */
const ten = Effect.gen(function* () {
  const all = yield* tableRig.make()
  yield* all.source.rows(...rows(10))
  all.done()
  return all
})

describe("T5: the safety gate", () => {
  it.effect("holds what would remove more than its share", () =>
    Effect.gen(function* () {
      const { done, ids, source, storedIds, table } = yield* ten
      yield* source.rows(...rows(4))
      assert.deepStrictEqual([ids().length, done(), table.status().version], [10, [], 1])
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 6 })
      assert.strictEqual((yield* storedIds)?.length, 10)
    })
  )

  it.effect("passes what removes no more than that", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows(...rows(5))
      assert.deepStrictEqual([ids().length, table.status().held], [5, undefined])
    })
  )

  it.effect("counts those that turn unhealthy, bad or deleted, not those that were out anyway", () =>
    Effect.gen(function* () {
      const { source, table } = yield* tableRig.make()
      yield* source.rows(
        ...rows(6),
        ...rows(6, { healthy: 0 }).map((each) => ({ ...each, id: `down-${String(each["id"])}` }))
      )
      yield* source.rows(
        row({ id: "b0" }),
        row({ id: "b1", healthy: 0 }),
        row({ id: "b2", healthy: 0 }),
        row({ id: "b3", port: 0 }),
        row({ id: "b4", deleted: 1 }),
        row({ id: "b5" })
      )
      assert.deepStrictEqual(table.status().held, { eligible: 6, lost: 4 })
    })
  )

  it.effect("lets an operator take the held update", () =>
    Effect.gen(function* () {
      const { ids, source, storedIds, table } = yield* ten
      assert.isFalse(yield* table.confirm)
      yield* source.rows(...rows(1))
      assert.isTrue(yield* table.confirm)
      assert.deepStrictEqual([ids(), yield* storedIds], [["b0"], ["b0"]])
      assert.deepInclude(table.status(), { held: undefined, version: 2, backends: 1 })
      assert.isFalse(yield* table.confirm)
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.strictEqual(table.status().version, 2)
    })
  )

  it.effect("takes it by itself once it has stood unchanged for the hold time", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows(...rows(1))
      yield* TestClock.adjust(HOLD_MS / 2)
      // Seen again, and an empty look between: it has stood.
      yield* source.rows(...rows(1))
      yield* source.unchanged
      yield* TestClock.adjust(HOLD_MS / 2 - 1)
      yield* settled
      assert.strictEqual(ids().length, 10)
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual([ids(), table.status().held], [["b0"], undefined])
    })
  )

  it.effect("waits on for an update that removes no more, whatever else changes", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows(...rows(1))
      for (let change = 1; change <= 10; change++) {
        yield* TestClock.adjust(HOLD_MS / 20)
        yield* source.rows(...rows(2, { weight: change }))
        assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      }
      yield* TestClock.adjust(HOLD_MS / 2)
      yield* settled
      assert.deepStrictEqual(ids(), ["b0", "b1"])
    })
  )

  it.effect("waits anew for an update that removes others", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows(...rows(2).slice(1))
      yield* TestClock.adjust(HOLD_MS - 1)
      yield* source.rows(...rows(3).filter(({ id }) => id !== "b1"))
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      yield* TestClock.adjust(HOLD_MS - 1)
      yield* settled
      assert.strictEqual(ids().length, 10)
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual(ids(), ["b0", "b2"])
    })
  )

  it.effect("a smaller update takes the place of a held one", () =>
    Effect.gen(function* () {
      const { ids, sound, source, table } = yield* ten
      yield* source.rows(...rows(1))
      yield* source.rows(...rows(9))
      assert.deepStrictEqual([ids().length, table.status().held], [9, undefined])
      assert.isFalse(yield* table.confirm)
      yield* TestClock.adjust(2 * HOLD_MS)
      yield* settled
      assert.deepStrictEqual([ids().length, sound()], [9, true])
    })
  )

  it.effect("the old table again ends the hold", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows()
      yield* source.rows(...rows(10))
      assert.isUndefined(table.status().held)
      yield* TestClock.adjust(2 * HOLD_MS)
      yield* settled
      assert.deepStrictEqual([ids().length, table.status().version], [10, 1])
    })
  )

  it.effect("the age of the table runs on while what the source says is held", () =>
    Effect.gen(function* () {
      const { source, table } = yield* ten
      yield* TestClock.adjust(1_000)
      yield* source.rows(...rows(1))
      yield* TestClock.adjust(1_000)
      yield* source.unchanged
      assert.strictEqual(table.status().ageMs, 2_000)
    })
  )

  it.effect("fewer than four are never held", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* tableRig.make()
      yield* source.rows(...rows(3))
      yield* source.rows()
      assert.deepStrictEqual([ids(), table.status().held], [[], undefined])
    })
  )

  it.effect("at the start it measures against the stored table, which serves meanwhile", () =>
    Effect.gen(function* () {
      const { ids, source, storedIds, table } = yield* tableRig.make(tableRig.holding(rows(10)))
      yield* source.rows(...rows(2))
      yield* table.firstTable
      assert.strictEqual(ids().length, 10)
      assert.deepInclude(table.status(), { origin: "snapshot", version: 1 })
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      assert.strictEqual((yield* storedIds)?.length, 10)
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.deepStrictEqual(ids(), ["b0", "b1"])
      assert.deepInclude(table.status(), { origin: "source", version: 2, held: undefined })
      assert.deepStrictEqual(yield* storedIds, ["b0", "b1"])
    })
  )

  it.effect("losing the source does not drop what is held", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* ten
      yield* source.rows(...rows(2))
      yield* source.lost("gone")
      assert.deepStrictEqual(table.status().held, { eligible: 10, lost: 8 })
      assert.isTrue(yield* table.confirm)
      assert.deepStrictEqual(ids(), ["b0", "b1"])
    })
  )

  it.effect("does not take a held update while the source is lost: nobody can tell whether it stands", () =>
    Effect.gen(function* () {
      const { ids, source } = yield* ten
      yield* source.rows(...rows(1))
      yield* source.lost("gone")
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.strictEqual(ids().length, 10)
      yield* source.unchanged
      yield* TestClock.adjust(HOLD_MS)
      yield* settled
      assert.strictEqual(ids().length, 1)
    })
  )
})
