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

// Room of items that are through is given back in pieces of this many.
const SPENT = 1_024

/**
 * One fiber for any number of deadlines: since all wait for the same time, they come due in the order in which they were
 * pushed. It sleeps while there are none.
 */
export const make = Effect.fnUntraced(function* <A>(options: {
  readonly name: string
  readonly delayMs: number
  /** Not to be thrown from. */
  readonly due: (item: A) => void
}) {
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const waiting = yield* Latch.make(false)
  let items: Array<{ readonly item: A; readonly at: number }> = []
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
      const waitMs = next.at - now()
      if (waitMs > 0) {
        yield* Effect.sleep(Math.ceil(waitMs))
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
      items.push({ item, at: now() + options.delayMs })
      waiting.openUnsafe()
    },
    size: () => items.length - head
  }
  return line
})
