import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Runs under a clock that moves on by so many microseconds whenever it is looked at. */
export const ticking =
  (micros: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Clock.clockWith((clock) => {
      let nanos = 0n
      const moving: Clock.Clock = Object.assign(Object.create(clock), {
        monotonicTimeNanosUnsafe: () => (nanos += BigInt(micros) * 1_000n)
      })
      return Effect.provideService(effect, Clock.Clock, moving)
    })
