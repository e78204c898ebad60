import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Backend } from "../../src/domain/Backend.ts"
import type { BackendState } from "../../src/domain/BackendState.ts"
import * as LocalChanges from "../../src/routing/LocalChanges.ts"
import { backend, row } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as tableRig from "../support/tableRig.ts"

const one = backend({ id: "a", weight: 1 })
const two = backend({ id: "a", weight: 2 })
const three = backend({ id: "a", weight: 3 })

const registeredAt = (at: number): BackendState => ({
  id: "a",
  owner: "fra",
  source: "api",
  draining: false,
  expired: false,
  registeredAt: at,
  heartbeatAt: at
})

const make = () => {
  const local = LocalChanges.make()
  return {
    ...local,
    /** A change at time 0. */
    change: (before: Backend | undefined, after: Backend | undefined) =>
      local.add({ id: "a", change: () => after, at: 0 }, before, after, 0),
    /** What becomes of what the source shows. */
    through: (shown: Backend | undefined, now = 0, state?: BackendState) => {
      const backends = new Map(shown === undefined ? [] : [["a", shown]])
      local.applyTo(backends, new Map(state === undefined ? [] : [["a", state]]), now)
      return backends.get("a")
    }
  }
}

describe("a change that was made here", () => {
  it("outlives reads that began before it, and ends when the source shows it", () => {
    const { change, size, through } = make()
    change(one, two)
    assert.strictEqual(through(one), two)
    assert.strictEqual(through({ ...one }), two)
    assert.strictEqual(size(), 1)
    assert.deepStrictEqual(through({ ...two }), two)
    assert.strictEqual(size(), 0)
    assert.strictEqual(through(one), one)
  })

  it("of one that comes or goes is kept as well", () => {
    const { change, through } = make()
    change(undefined, one)
    assert.strictEqual(through(undefined), one)
    change(one, undefined)
    assert.isUndefined(through(undefined))
    change(one, undefined)
    assert.isUndefined(through(one))
  })

  it("gives way to what is newer, and to a source that never shows it", () => {
    const { change, size, through } = make()
    change(one, two)
    assert.strictEqual(through(three), three)
    assert.strictEqual(size(), 0)
    change(one, two)
    assert.strictEqual(through(one, LocalChanges.PATIENCE_MS - 1), two)
    assert.strictEqual(through(one, LocalChanges.PATIENCE_MS), one)
    assert.strictEqual(size(), 0)
  })

  it("gives way to one of the same that was registered anew elsewhere", () => {
    const { change, through } = make()
    change(one, undefined)
    assert.isUndefined(through(one, 0, registeredAt(-5)))
    assert.strictEqual(through(one, 0, registeredAt(5)), one)
  })

  it("is given up for what was shown last, once anything was", () => {
    const { change, giveUp, size, through } = make()
    change(one, two)
    assert.deepStrictEqual(giveUp(LocalChanges.PATIENCE_MS), [], "nothing was read since")
    assert.strictEqual(through(one, 1), two)
    assert.deepStrictEqual(giveUp(LocalChanges.PATIENCE_MS - 1), [])
    assert.deepStrictEqual(giveUp(LocalChanges.PATIENCE_MS), [["a", one]])
    assert.strictEqual(size(), 0)
  })

  it("twice, before the source has shown the first, is the second", () => {
    const { change, through } = make()
    change(one, two)
    change(two, three)
    assert.strictEqual(through(one), three)
    assert.strictEqual(through(two), three)
    assert.strictEqual(through(three), three)
  })

  it.effect("and undone elsewhere before it was ever shown does not stay for ever on a quiet table", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "other" }))
      yield* table.apply([{ id: "a", change: () => one, at: 0 }])
      yield* source.rows(row({ id: "other" }))
      assert.sameMembers([...ids()], ["other", "a"])
      yield* TestClock.adjust(LocalChanges.PATIENCE_MS)
      yield* settled
      assert.deepStrictEqual(ids(), ["other"])
    })
  )

  it.effect("and undone before the source looked: it has nothing new to show, and that says it", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "other" }))
      yield* table.apply([{ id: "a", change: () => one, at: 0 }])
      yield* source.unchanged
      yield* TestClock.adjust(LocalChanges.PATIENCE_MS)
      yield* settled
      assert.sameMembers([...ids()], ["other", "a"], "that look may have begun before")
      yield* source.unchanged
      yield* TestClock.adjust(LocalChanges.PATIENCE_MS - 1)
      yield* settled
      assert.sameMembers([...ids()], ["other", "a"])
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual(ids(), ["other"])
    })
  )

  it.effect("is kept while the source shows nothing at all", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* tableRig.make()
      yield* source.rows(row({ id: "other" }))
      yield* table.apply([{ id: "a", change: () => one, at: 0 }])
      yield* TestClock.adjust(100 * LocalChanges.PATIENCE_MS)
      yield* settled
      assert.sameMembers([...ids()], ["other", "a"])
      yield* source.rows(row({ id: "other" }))
      assert.deepStrictEqual(ids(), ["other"])
    })
  )
})
