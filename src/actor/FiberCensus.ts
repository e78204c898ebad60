import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EffectMetric from "effect/Metric"
import { type Collector, counter, gauge, noLabels } from "../observe/Metric.ts"

/**
 * How many fibers there are. Every fiber below the layer is counted, whoever has forked it: one that is forgotten can't hide.
 * Two additions for each; Effect's own fiber metrics would cost as much as all the counting for a connection.
 */
export class FiberCensus extends Context.Service<
  FiberCensus,
  {
    readonly live: () => number
    /** Since the start, those that have ended included. */
    readonly started: () => number
  }
>()("edgeproxy/actor/FiberCensus") {
  static readonly layer: Layer.Layer<FiberCensus> = Layer.effectContext(
    Effect.sync(() => {
      let started = 0
      let ended = 0
      const recorder: EffectMetric.FiberRuntimeMetricsService = {
        recordFiberStart: () => void started++,
        recordFiberEnd: () => void ended++
      }
      return Context.make(FiberCensus, { live: () => started - ended, started: () => started }).pipe(
        Context.add(EffectMetric.FiberRuntimeMetrics, recorder)
      )
    })
  )
}

const live = gauge(
  "edgeproxy_fibers",
  "Fibers of the control plane: actors, checks, connections on their way to a backend."
)
const started = counter("edgeproxy_fibers_started_total", "Fibers that were started.")

export const fiberMetrics = Effect.map(FiberCensus, (census): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      sink.sample(live, noLabels, census.live())
      sink.sample(started, noLabels, census.started())
    })
}))
