import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import manifest from "../package.json" with { type: "json" }
import { actorMetrics } from "../src/actor/actorMetrics.ts"
import { healthMetrics } from "../src/backends/healthMetrics.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import { loopDelayMetric } from "../src/observe/LoopDelay.ts"
import { Metrics } from "../src/observe/Metrics.ts"
import { routingMetrics } from "../src/routing/routingMetrics.ts"
import { trafficMetrics } from "../src/traffic/trafficMetrics.ts"
import { transportMetrics } from "../src/traffic/transportMetrics.ts"
import { Host } from "./host/Host.ts"
import { vitals } from "./host/vitals.ts"
import * as PrometheusEndpoint from "./prometheus/PrometheusEndpoint.ts"
import { processMetrics } from "./prometheus/processMetrics.ts"

/** Everything that is measured, and where it can be read. A file of its own, which only who wants metrics loads. */
export const MetricsEndpoint = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* EdgeConfig
    const { fdLimit } = yield* Host
    const process = processMetrics({
      version: manifest.version,
      pop: config.popId,
      region: config.region,
      vitals: vitals(fdLimit)
    })

    return PrometheusEndpoint.layer({ address: config.metricsListenAddr, path: config.metricsPath }).pipe(
      Layer.provide(
        Metrics.layer(
          Effect.all([
            trafficMetrics,
            routingMetrics,
            healthMetrics,
            transportMetrics,
            actorMetrics,
            loopDelayMetric,
            Effect.succeed(process)
          ])
        )
      )
    )
  })
)
