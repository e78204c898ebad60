import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { cellsOf, type Collector, histogram, noLabels, observe } from "./Metric.ts"

/** Often enough to see a stall of a second twenty times, rarely enough to cost nothing. */
export const LOOK_MS = 50

const KEPT = 256

const delay = histogram(
  "edgeproxy_event_loop_delay_seconds",
  "How late the control thread came to a timer, looked at twenty times a second.",
  [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
)

/** Watches how long the control thread keeps others waiting. */
export class LoopDelay extends Context.Service<
  LoopDelay,
  {
    /** Delays of the looks since then, in milliseconds, longest first; no more than the last 256. */
    readonly since: (monotonicMs: number) => ReadonlyArray<number>
    /** All looks, in seconds. */
    readonly cells: Float64Array
  }
>()("edgeproxy/observe/LoopDelay") {
  static readonly layer: Layer.Layer<LoopDelay, never, Supervisor> = Layer.effect(
    LoopDelay,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const cells = new Float64Array(cellsOf(delay.bounds))
  const delays = new Float64Array(KEPT)
  const times = new Float64Array(KEPT).fill(-Infinity)
  let next = 0

  const look = Effect.gen(function* () {
    const due = now() + LOOK_MS
    yield* Effect.sleep(LOOK_MS)
    const late = Math.max(0, now() - due)
    observe(cells, 0, delay.bounds, late / 1_000)
    delays[next] = late
    times[next] = due
    next = (next + 1) % KEPT
  })
  yield* supervisor.supervise("loop-delay", Effect.forever(look))

  return LoopDelay.of({
    cells,
    since: (from) =>
      Array.from(
        delays
          .filter((_, index) => (times[index] ?? 0) >= from)
          .sort()
          .toReversed()
      )
  })
})

export const loopDelayMetric = Effect.map(LoopDelay, ({ cells }): Collector => ({
  collect: (sink) => Effect.sync(() => sink.histogram(delay, noLabels, cells))
}))
