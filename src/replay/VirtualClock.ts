import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Time as the log has it: it moves when it is told to, and whoever sleeps never wakes. */
export interface VirtualClock extends Clock.Clock {
  /** To this Unix time in milliseconds; never back. */
  readonly moveTo: (ms: number) => void
}

export const make = (): VirtualClock => {
  let nowMs = 0
  const nanos = (): bigint => BigInt(Math.round(nowMs * 1_000)) * 1_000n
  return {
    moveTo: (ms) => void (nowMs = Math.max(nowMs, ms)),
    currentTimeMillisUnsafe: () => nowMs,
    currentTimeMillis: Effect.sync(() => nowMs),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: () => Effect.never
  }
}
