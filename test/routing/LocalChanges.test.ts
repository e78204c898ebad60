import { assert, describe, it } from "@effect/vitest"
import * as LocalChanges from "../../src/routing/LocalChanges.ts"
import { backend } from "../support/fixtures.ts"

const one = backend({ id: "a", weight: 1 })
const two = backend({ id: "a", weight: 2 })
const three = backend({ id: "a", weight: 3 })

/** What becomes of what the source shows. */
const through = (local: LocalChanges.LocalChanges, shown: typeof one | undefined, now = 0) => {
  const backends = new Map(shown === undefined ? [] : [["a", shown]])
  local.applyTo(backends, now)
  return backends.get("a")
}

describe("a change that was made here", () => {
  it("outlives reads that began before it, and ends when the source shows it", () => {
    const local = LocalChanges.make()
    local.add({ id: "a", backend: two }, one, 0)
    assert.strictEqual(through(local, one), two)
    assert.strictEqual(through(local, { ...one }), two)
    assert.strictEqual(local.size(), 1)
    assert.deepStrictEqual(through(local, { ...two }), two)
    assert.strictEqual(local.size(), 0)
    assert.strictEqual(through(local, one), one)
  })

  it("of one that comes or goes is kept as well", () => {
    const local = LocalChanges.make()
    local.add({ id: "a", backend: one }, undefined, 0)
    assert.strictEqual(through(local, undefined), one)
    local.add({ id: "a", backend: undefined }, one, 0)
    assert.isUndefined(through(local, undefined))
    local.add({ id: "a", backend: undefined }, one, 0)
    assert.isUndefined(through(local, one))
  })

  it("gives way to what is newer, and to a source that never shows it", () => {
    const local = LocalChanges.make()
    local.add({ id: "a", backend: two }, one, 0)
    assert.strictEqual(through(local, three), three)
    assert.strictEqual(local.size(), 0)
    local.add({ id: "a", backend: two }, one, 0)
    assert.strictEqual(through(local, one, LocalChanges.PATIENCE_MS - 1), two)
    assert.strictEqual(through(local, one, LocalChanges.PATIENCE_MS), one)
    assert.strictEqual(local.size(), 0)
  })

  it("twice, before the source has shown the first, is the second", () => {
    const local = LocalChanges.make()
    local.add({ id: "a", backend: two }, one, 0)
    local.add({ id: "a", backend: three }, two, 0)
    assert.strictEqual(through(local, one), three)
    assert.strictEqual(through(local, two), three)
    assert.strictEqual(through(local, three), three)
  })
})
