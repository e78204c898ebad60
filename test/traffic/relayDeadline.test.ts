import { assert, describe, it } from "@effect/vitest"
import { relayDeadline, type RelayTimes } from "../../src/traffic/relayDeadline.ts"
import type { RelayLimits } from "../../src/traffic/Transport.ts"
import { between } from "../support/arbitraries.ts"

const limits: RelayLimits = { idleMs: 1_000, finMs: 100, stallMs: 300, maxAgeMs: 5_000 }
const off: RelayLimits = { idleMs: 0, finMs: 0, stallMs: 0, maxAgeMs: 0 }

/** A relay since 10, silent since then, unless the test says otherwise. */
const times = (fields: Partial<RelayTimes> = {}): RelayTimes => ({
  startedAt: 10,
  lastByteAt: 10,
  finishedAt: 0,
  clientStalledAt: 0,
  backendStalledAt: 0,
  ...fields
})

describe("C3: a relay ends by its limits", () => {
  it.each([
    ["no byte either way", times(), 1_010, "proxy", "idle-timeout"],
    ["one side has finished, the other is silent", times({ finishedAt: 20 }), 120, "proxy", "fin-timeout"],
    ["counted from its last byte", times({ finishedAt: 20, lastByteAt: 90 }), 190, "proxy", "fin-timeout"],
    ["the client takes nothing", times({ clientStalledAt: 50, lastByteAt: 340 }), 350, "client", "stall-timeout"],
    ["the backend takes nothing", times({ backendStalledAt: 50, lastByteAt: 340 }), 350, "backend", "stall-timeout"],
    ["however busy it is", times({ lastByteAt: 5_009 }), 5_010, "proxy", "max-age"]
  ] as const)("%s", (_, when, at, by, cause) => {
    assert.deepStrictEqual(relayDeadline(when, limits, at), { by, phase: "relay", cause })
    assert.strictEqual(relayDeadline(when, limits, at - 1), at)
  })

  it("a limit of 0 is off", () => {
    const late = times({ finishedAt: 1, clientStalledAt: 1, backendStalledAt: 1 })
    assert.strictEqual(relayDeadline(late, off, 1e12), Infinity)
  })

  it.prop(
    "it has ended, or the time to look again is ahead",
    { last: between(1, 3_000), fin: between(0, 3_000), client: between(0, 3_000), now: between(1, 9_000) },
    ({ client, fin, last, now }) => {
      const when = times({ lastByteAt: last, finishedAt: fin, clientStalledAt: client })
      const next = relayDeadline(when, limits, now)
      if (typeof next !== "number") return
      assert.isAbove(next, now)
      assert.strictEqual(relayDeadline(when, limits, next - 1), next)
      assert.notTypeOf(relayDeadline(when, limits, next), "number")
    }
  )
})
