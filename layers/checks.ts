import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Supervisor } from "../src/actor/Supervisor.ts"
import { HealthChecks } from "../src/backends/HealthChecks.ts"
import type { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { RoutingTable } from "../src/routing/RoutingTable.ts"
import type { Upstreams } from "../src/routing/Upstreams.ts"

type Config = EdgeConfig["Service"]

/** Of the descriptors of the process, one in so many may be a check's. */
const FD_SHARE = 16
const MOST_AT_ONCE = 4_096
const LEAST_AT_ONCE = 16

/**
 * Checks that may be under way at once; each needs a descriptor. 10,000 backends at the usual interval are 2,000 checks a
 * second: with 4,096 places, even if all of them hang for the two seconds of the usual deadline, nobody waits for anybody.
 */
export const checksAtOnce = (config: Config, fdLimit: number): number =>
  config.healthCheckEnabled ? Math.min(MOST_AT_ONCE, Math.max(LEAST_AT_ONCE, Math.floor(fdLimit / FD_SHARE))) : 0

/** The active checks, if they are on. */
export const healthChecks = (
  config: Config,
  atOnce: number
): Layer.Layer<HealthChecks, never, RoutingTable | Supervisor | Upstreams> => {
  if (!config.healthCheckEnabled) return HealthChecks.layerOff
  const { healthCheckExpectedStatus: expectedStatus, healthCheckPath: path, healthCheckType: kind } = config
  return HealthChecks.layer({
    probe: kind === "tcp" ? { kind } : { kind, path, expectedStatus },
    intervalMs: config.healthCheckIntervalMs,
    timeoutMs: config.healthCheckTimeoutMs,
    rise: config.healthHealthyThreshold,
    fall: config.healthUnhealthyThreshold,
    atOnce
  }).pipe(Layer.provide(Layer.unwrap(Effect.map(loadProbe, ({ layer }) => layer))))
}

/** Loaded only when it is wanted. */
const loadProbe = Effect.promise(() => import("./probe/NodeProbe.ts"))
