import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { initial, observe, type Standing } from "../../src/anycast/hysteresis.ts"
import { type Level, levels, rankOf } from "../../src/anycast/Level.ts"
import type { Verdict } from "../../src/anycast/verdict.ts"
import { between } from "../support/arbitraries.ts"

const HOLD = 10

const verdict = (level: Level, urgent = false): Verdict => ({ level, urgent, reasons: [] })

/** Looks one tick apart; the levels after each. */
const run = (verdicts: ReadonlyArray<Verdict>, from: Standing = initial): ReadonlyArray<Level> => {
  let standing = from
  return verdicts.map((each, now) => (standing = observe(standing, each, now, HOLD)).level)
}

const times = <const A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)

const verdicts = Arbitrary.array(
  Arbitrary.map(
    Arbitrary.all([Arbitrary.schema(between(0, 2)), Arbitrary.schema(between(1, 14)), Arbitrary.schema(between(0, 9))]),
    ([rank, count, dice]) => times(count, verdict(levels[rank] ?? "withdrawn", rank === 0 && dice === 0))
  ),
  { minLength: 1, maxLength: 12 }
)

/** The rule, told over the whole past: a level is reached when a run of verdicts that agree on it has lasted long enough. */
const expected = (past: ReadonlyArray<Verdict>, before: Level): Level => {
  const last = past.at(-1)
  if (last === undefined) return before
  const current = rankOf(before)
  if (last.urgent && rankOf(last.level) < current) return last.level
  const lasted = (agrees: (rank: number) => boolean): number => {
    const against = past.findLastIndex(({ level }) => !agrees(rankOf(level)))
    return past.length - 1 - (against + 1)
  }
  for (const rank of [2, 1, 0]) {
    if (rank > current && lasted((other) => other >= rank) >= HOLD) return levels[rank] ?? before
  }
  for (const rank of [0, 1, 2]) {
    if (rank < current && lasted((other) => other <= rank) >= HOLD) return levels[rank] ?? before
  }
  return before
}

describe("the hysteresis of the announcement", () => {
  it.prop("changes only on what all verdicts of the hold time agree on", [verdicts], ([parts]) => {
    const all = parts.flat()
    const got = run(all)
    let level: Level = "withdrawn"
    for (const [index, after] of got.entries()) {
      level = expected(all.slice(0, index + 1), level)
      assert.strictEqual(after, level, `at ${index}`)
    }
  })

  it("is earned: a POP begins withdrawn and is announced after the hold time", () => {
    const got = run(times(12, verdict("announced")))
    assert.deepStrictEqual(got.indexOf("announced"), HOLD)
  })

  it("is not moved by what comes and goes", () => {
    const up: Standing = { level: "announced", atLeast: {}, atMost: {} }
    const flapping = [...times(9, verdict("withdrawn")), verdict("announced"), ...times(9, verdict("degraded"))]
    assert.deepStrictEqual(new Set(run([...flapping, verdict("announced"), ...flapping], up)), new Set(["announced"]))
  })

  it("steps down as far as all agree: bad for long and worse at the end is bad", () => {
    const up: Standing = { level: "announced", atLeast: {}, atMost: {} }
    const got = run([...times(8, verdict("degraded")), ...times(8, verdict("withdrawn"))], up)
    assert.deepStrictEqual([got[9], got[10], got[15]], ["announced", "degraded", "degraded"])
  })

  it("waits with nothing urgent, and then is earned anew", () => {
    const up: Standing = { level: "announced", atLeast: {}, atMost: {} }
    const got = run([verdict("withdrawn", true), ...times(11, verdict("announced"))], up)
    assert.deepStrictEqual(got, [...times(11, "withdrawn"), "announced"])
  })
})
