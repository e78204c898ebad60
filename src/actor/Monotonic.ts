import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * The monotonic clock in milliseconds as a plain function, for code that runs in callbacks. It comes from Effect's Clock,
 * so a test that provides `TestClock` moves it; a wall clock set back an hour does not.
 */
export const monotonicMs: Effect.Effect<() => number> = Clock.clockWith((clock) =>
  Effect.succeed(() => Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000)
)
