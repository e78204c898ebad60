import * as Effect from "effect/Effect"

/** Gives all other fibers their turns; enough for a message to go from its source through an actor and back. */
export const settled: Effect.Effect<void> = Effect.gen(function* () {
  for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
})
