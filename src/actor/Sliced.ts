import * as Effect from "effect/Effect"
import { monotonicMs } from "./Monotonic.ts"

// Long enough that yielding costs nothing, short enough that nobody waits 10 ms for the control thread (T2).
const SLICE_MS = 3
// The clock is read once in so many items.
const STRIDE = 64

/** Runs `use` over every item in order, giving other work its turn every few milliseconds. */
export const forEachSliced = Effect.fnUntraced(function* <A>(items: Iterable<A>, use: (item: A) => void) {
  const now = yield* monotonicMs
  let sliceEnd = now() + SLICE_MS
  let count = 0
  for (const item of items) {
    use(item)
    if (++count % STRIDE === 0 && now() >= sliceEnd) {
      yield* Effect.yieldNow
      sliceEnd = now() + SLICE_MS
    }
  }
})
