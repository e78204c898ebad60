import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { monotonicMs } from "./Monotonic.ts"
import { Supervisor } from "./Supervisor.ts"

/** Items that all wait for the same time. */
export interface DelayLine<A> {
  /** For callbacks. The item is due after the line's time. */
  readonly push: (item: A) => void
  readonly size: () => number
}

// A shorter delay is taken note of within this time.
const LOOK_MS = 1_000

// Room of items that are through is given back in pieces of this many.
const SPENT = 1_024

/**
 * One fiber for any number of deadlines: since all wait for the same time, they come due in the order in which they were
 * pushed. It sleeps while there are none.
 */
export const make = Effect.fnUntraced(function* <A>(options: {
  readonly name: string
  /** Read again and again: when it changes, it does so for those that wait too. */
  readonly delayMs: number
  /** Not to be thrown from. */
  readonly due: (item: A) => void
}) {
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const waiting = yield* Latch.make(false)
  let items: Array<{ readonly item: A; readonly since: number }> = []
  let head = 0

  const loop = Effect.gen(function* () {
    while (true) {
      const next = items[head]
      if (next === undefined) {
        items = []
        head = 0
        waiting.closeUnsafe()
        yield* waiting.await
        continue
      }
      const waitMs = next.since + options.delayMs - now()
      if (waitMs > 0) {
        yield* Effect.sleep(Math.min(LOOK_MS, Math.ceil(waitMs)))
        continue
      }
      head++
      if (head >= SPENT) {
        items = items.slice(head)
        head = 0
        yield* Effect.yieldNow
      }
      options.due(next.item)
    }
  })
  yield* supervisor.supervise(options.name, loop)

  const line: DelayLine<A> = {
    push: (item) => {
      items.push({ item, since: now() })
      waiting.openUnsafe()
    },
    size: () => items.length - head
  }
  return line
})
