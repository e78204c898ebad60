import { type Level, levels, rankOf } from "./Level.ts"
import type { Verdict } from "./verdict.ts"

/** Where the POP stands, and since when its health has spoken for standing elsewhere. Times are monotonic, in milliseconds. */
export interface Standing {
  readonly level: Level
  /** Since when every verdict has been at least this good; undefined when the last one was not. */
  readonly atLeast: Readonly<Partial<Record<Level, number>>>
  /** Since when every verdict has been at most this good. */
  readonly atMost: Readonly<Partial<Record<Level, number>>>
}

/** A POP begins withdrawn: it earns its announcement. */
export const initial: Standing = { level: "withdrawn", atLeast: {}, atMost: {} }

const sinceWhile = (
  before: Readonly<Partial<Record<Level, number>>>,
  now: number,
  holds: (level: Level) => boolean
): Readonly<Partial<Record<Level, number>>> =>
  Object.fromEntries(levels.flatMap((level) => (holds(level) ? [[level, before[level] ?? now]] : [])))

/**
 * The standing after a verdict. It rises to the best level, and falls to the lowest fall, that all verdicts of the last `holdMs`
 * agree on; an urgent verdict is in force at once.
 */
export const observe = (before: Standing, verdict: Verdict, now: number, holdMs: number): Standing => {
  const rank = rankOf(verdict.level)
  const atLeast = sinceWhile(before.atLeast, now, (level) => rank >= rankOf(level))
  const atMost = sinceWhile(before.atMost, now, (level) => rank <= rankOf(level))
  const current = rankOf(before.level)
  if (verdict.urgent && rank < current) return { level: verdict.level, atLeast, atMost }
  const held = (since: number | undefined): boolean => since !== undefined && now - since >= holdMs
  const risen = levels.toReversed().find((level) => rankOf(level) > current && held(atLeast[level]))
  const fallen = levels.find((level) => rankOf(level) < current && held(atMost[level]))
  return { level: risen ?? fallen ?? before.level, atLeast, atMost }
}
