import * as Effect from "effect/Effect"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { cellsOf, type Collector, histogram, noLabels, observe } from "./Metric.ts"

// Often enough to see a stall of a second ten times, rarely enough to cost nothing.
const EVERY_MS = 100

const delay = histogram(
  "edgeproxy_event_loop_delay_seconds",
  "How late the control thread came to a timer, looked at ten times a second.",
  [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
)

/** Watches how long the control thread keeps others waiting. */
export const loopDelay = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const cells = new Float64Array(cellsOf(delay.bounds))

  const look = Effect.gen(function* () {
    const due = now() + EVERY_MS
    yield* Effect.sleep(EVERY_MS)
    observe(cells, 0, delay.bounds, Math.max(0, now() - due) / 1_000)
  })
  yield* supervisor.supervise("loop-delay", Effect.forever(look))

  const collector: Collector = { collect: (sink) => Effect.sync(() => sink.histogram(delay, noLabels, cells)) }
  return collector
})
