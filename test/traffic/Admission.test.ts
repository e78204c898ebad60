import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admission from "../../src/traffic/Admission.ts"
import type { Listener } from "../../src/traffic/Transport.ts"
import { between } from "../support/arbitraries.ts"

const listenerOf = (): Listener & { readonly calls: Array<string> } => {
  const calls: Array<string> = []
  return {
    address: { address: "127.0.0.1", port: 1 },
    calls,
    pause: (reason) => void calls.push(`pause ${reason}`),
    resume: () => void calls.push("resume"),
    close: Effect.void
  }
}

describe("C5: the limit of connections", () => {
  it("pauses the listeners with the last place and resumes them with the first free one", () => {
    const admission = Admission.make(2)
    const [one, two] = [listenerOf(), listenerOf()]
    admission.attach(one)
    admission.attach(two)
    assert.isTrue(admission.enter())
    assert.deepStrictEqual(one.calls, [])
    assert.isTrue(admission.enter())
    for (const { calls } of [one, two]) assert.deepStrictEqual(calls, ["pause limit"])
    assert.isFalse(admission.enter())
    assert.strictEqual(admission.active(), 2)
    admission.leave()
    for (const { calls } of [one, two]) assert.deepStrictEqual(calls, ["pause limit", "resume"])
    admission.leave()
    for (const { calls } of [one, two]) assert.deepStrictEqual(calls, ["pause limit", "resume"])
  })

  it("an overload pauses them too; the limit is the reason that is told, and each has to pass", () => {
    const admission = Admission.make(1)
    const listener = listenerOf()
    admission.attach(listener)
    admission.setOverloaded(true)
    admission.setOverloaded(true)
    assert.deepStrictEqual(listener.calls, ["pause overload"])
    assert.strictEqual(admission.paused(), "overload")
    // Who was accepted just before is served.
    assert.isTrue(admission.enter())
    admission.setOverloaded(false)
    assert.deepStrictEqual(listener.calls.slice(1), ["pause limit"])
    admission.setOverloaded(true)
    admission.leave()
    assert.deepStrictEqual(listener.calls.slice(2), ["pause overload"])
    admission.setOverloaded(false)
    assert.deepStrictEqual(listener.calls.slice(3), ["resume"])
    assert.isUndefined(admission.paused())
  })

  it("holds for a listener that comes when it is reached", () => {
    const admission = Admission.make(1)
    admission.enter()
    const late = listenerOf()
    admission.attach(late)
    assert.deepStrictEqual(late.calls, ["pause limit"])
    admission.leave()
    assert.deepStrictEqual(late.calls, ["pause limit", "resume"])
  })

  it.prop(
    "is never passed, and a listener is paused just while it is reached",
    [between(1, 5), between(0, 0xffff)],
    ([limit, bits]) => {
      const admission = Admission.make(limit)
      const listener = listenerOf()
      admission.attach(listener)
      let active = 0
      for (let step = 0; step < 16; step++) {
        if (((bits >>> step) & 1) === 1) {
          assert.strictEqual(admission.enter(), active < limit)
          active = Math.min(limit, active + 1)
        } else if (active > 0) {
          admission.leave()
          active--
        }
        assert.strictEqual(admission.active(), active)
        assert.strictEqual(listener.calls.at(-1) === "pause limit", active === limit)
      }
    }
  )
})

describe("C5: what the file descriptors allow", () => {
  it.each([
    [0, 1],
    [1, 1],
    [3, 1],
    [64, 16],
    [128, 32],
    [256, 96],
    [1_024, 480],
    [1_048_576, 524_256]
  ])("%i descriptors carry %i connections", (fds, connections) => {
    assert.strictEqual(Admission.connectionsForFds(fds), connections)
  })

  it.prop("two for each connection, the rest for the control plane", [between(8, 2_000_000)], ([fds]) => {
    const left = fds - 2 * Admission.connectionsForFds(fds)
    assert.isAtLeast(left, Math.min(64, Math.floor(fds / 2)))
    assert.isAtMost(left, 66)
  })

  it.effect("more is never in force, whatever was asked for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Admission.connectionLimit("auto", 1_024), 480)
      assert.strictEqual(yield* Admission.connectionLimit(100, 1_024), 100)
      assert.strictEqual(yield* Admission.connectionLimit(480, 1_024), 480)
      assert.strictEqual(yield* Admission.connectionLimit(481, 1_024), 480)
    })
  )
})
