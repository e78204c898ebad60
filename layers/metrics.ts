import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import manifest from "../package.json" with { type: "json" }
import { Supervisor } from "../src/actor/Supervisor.ts"
import { actorMetrics } from "../src/actor/actorMetrics.ts"
import { fiberMetrics } from "../src/actor/FiberCensus.ts"
import { anycastMetrics } from "../src/anycast/anycastMetrics.ts"
import { healthMetrics } from "../src/backends/healthMetrics.ts"
import { warmMetrics } from "../src/backends/warmMetrics.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import { loopDelayMetric } from "../src/observe/LoopDelay.ts"
import { Collectors } from "../src/observe/Collectors.ts"
import { Metrics } from "../src/observe/Metrics.ts"
import { Telemetry } from "../src/observe/Telemetry.ts"
import { telemetryMetrics } from "../src/observe/telemetryMetrics.ts"
import { geoMetrics } from "../src/routing/geoMetrics.ts"
import { routingMetrics } from "../src/routing/routingMetrics.ts"
import { Shutdown } from "../src/traffic/Shutdown.ts"
import { trafficMetrics } from "../src/traffic/trafficMetrics.ts"
import { transportMetrics } from "../src/traffic/transportMetrics.ts"
import { Host } from "./host/Host.ts"
import { vitals } from "./host/vitals.ts"
import * as PrometheusEndpoint from "./prometheus/PrometheusEndpoint.ts"
import { processMetrics } from "./prometheus/processMetrics.ts"

/** Everything that is measured. */
const collectors = Effect.gen(function* () {
  const config = yield* EdgeConfig
  const { fdLimit } = yield* Host
  const process = processMetrics({
    version: manifest.version,
    pop: config.popId,
    region: config.region,
    vitals: vitals(fdLimit)
  })
  return yield* Effect.all([
    trafficMetrics,
    routingMetrics,
    healthMetrics,
    warmMetrics,
    transportMetrics,
    actorMetrics,
    fiberMetrics,
    loopDelayMetric,
    anycastMetrics,
    telemetryMetrics,
    geoMetrics,
    Effect.map(Collectors, ({ all }) => all),
    Effect.succeed(process)
  ])
})

/** Where all of it can be read. A file of its own, which only who wants metrics loads. */
export const MetricsEndpoint = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* EdgeConfig
    const { handedOver } = yield* Shutdown
    return PrometheusEndpoint.layer({
      address: config.metricsListenAddr,
      until: Deferred.await(handedOver),
      path: config.metricsPath
    }).pipe(Layer.provide(Metrics.layer(collectors)))
  })
)

/** As a periodic reader of OpenTelemetry has it. */
const EXPORT_MS = 60_000

/** Exports all of it every minute, and once more at the end. */
export const MetricsExport = Layer.effectDiscard(
  Effect.gen(function* () {
    const telemetry = yield* Telemetry
    if (telemetry === undefined) return
    const supervisor = yield* Supervisor
    const read = telemetry.read(yield* collectors)
    yield* Effect.addFinalizer(() => read)
    yield* supervisor.supervise("metrics-export", Effect.forever(Effect.andThen(Effect.sleep(EXPORT_MS), read)))
  })
)
