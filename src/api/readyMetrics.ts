import * as Effect from "effect/Effect"
import { type Collector, gauge, noLabels } from "../observe/Metric.ts"
import { Ready } from "./Ready.ts"

const ready = gauge("edgeproxy_ready", "1 while clients should be sent here, as /ready says.")
const degraded = gauge(
  "edgeproxy_degraded",
  "1 for each thing that /ready calls degraded; only what holds now is shown."
)

/** Readiness as the API tells it (D3). */
export const readyMetrics = Effect.map(Ready, ({ now }): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      const readiness = now()
      sink.sample(ready, noLabels, readiness.reasons.length === 0 ? 1 : 0)
      for (const condition of readiness.degraded) sink.sample(degraded, { condition }, 1)
    })
}))
