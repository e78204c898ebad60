import * as Effect from "effect/Effect"
import { monotonicMs } from "./Monotonic.ts"

// Long enough that yielding costs nothing, short enough that nobody waits 10 ms for the control thread (T2).
const SLICE_MS = 3
// The clock is read once in so many items.
const STRIDE = 64

/** The same as {@link forEachSliced}; gives the milliseconds it took, without those of others. */
export const forEachTimed = Effect.fnUntraced(function* <A>(items: Iterable<A>, use: (item: A) => void) {
  const now = yield* monotonicMs
  let sliceStart = now()
  let spent = 0
  let count = 0
  for (const item of items) {
    use(item)
    if (++count % STRIDE === 0 && now() >= sliceStart + SLICE_MS) {
      spent += now() - sliceStart
      yield* Effect.yieldNow
      sliceStart = now()
    }
  }
  return spent + now() - sliceStart
})

/** Runs `use` over every item in order, giving other work its turn every few milliseconds. */
export const forEachSliced = <A>(items: Iterable<A>, use: (item: A) => void): Effect.Effect<void> =>
  Effect.asVoid(forEachTimed(items, use))
