import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Supervisor } from "../src/actor/Supervisor.ts"
import { HealthChecks, type HealthChecksOptions } from "../src/backends/HealthChecks.ts"
import { HealthProbe } from "../src/backends/HealthProbe.ts"
import type { ConfigValues } from "../src/config/variables.ts"
import type { RoutingTable } from "../src/routing/RoutingTable.ts"
import type { BackendTls } from "../src/tls/BackendTls.ts"
import type { Upstreams } from "../src/routing/Upstreams.ts"

/** Of the descriptors of the process, one in so many may be a check's. */
const FD_SHARE = 16
const MOST_AT_ONCE = 4_096
const LEAST_AT_ONCE = 16

/**
 * Checks that may be under way at once; each needs a descriptor, which are set aside wherever checks are on or may be
 * turned on. 10,000 backends at the usual interval are 2,000 checks a second: with 4,096 places, even if all of them hang
 * for the two seconds of the usual deadline, nobody waits for anybody.
 */
export const checksAtOnce = (config: ConfigValues, fdLimit: number): number =>
  config.healthCheckEnabled || config.configWatchEnabled
    ? Math.min(MOST_AT_ONCE, Math.max(LEAST_AT_ONCE, Math.floor(fdLimit / FD_SHARE)))
    : 0

/** The active checks as the configuration has them; undefined: off. */
export const checksOf = (config: ConfigValues): HealthChecksOptions | undefined => {
  if (!config.healthCheckEnabled) return undefined
  const { healthCheckExpectedStatus: expectedStatus, healthCheckPath: path, healthCheckType: kind } = config
  return {
    probe: kind === "tcp" ? { kind } : { kind, path, expectedStatus },
    intervalMs: config.healthCheckIntervalMs,
    timeoutMs: config.healthCheckTimeoutMs,
    rise: config.healthHealthyThreshold,
    fall: config.healthUnhealthyThreshold
  }
}

/**
 * Loaded beside the start where checks are on or may be turned on: later, the next version's file may lie in its place.
 */
const lazyProbe = (config: ConfigValues, tls: (() => BackendTls) | undefined) =>
  Layer.effect(
    HealthProbe,
    Effect.gen(function* () {
      const { proxyProtocolOut: proxyOut } = config
      const loaded = yield* Effect.cached(Effect.promise(() => import("./probe/NodeProbe.ts")))
      if (config.healthCheckEnabled || config.configWatchEnabled) yield* Effect.forkScoped(Effect.ignoreCause(loaded))
      return {
        probe: (target, what, timeoutMs) =>
          Effect.flatMap(loaded, ({ probe }) => probe(target, what, timeoutMs, { proxyOut, tls }))
      }
    })
  )

export const healthChecks = (
  config: ConfigValues,
  atOnce: number,
  tls: (() => BackendTls) | undefined
): Layer.Layer<HealthChecks, never, RoutingTable | Supervisor | Upstreams> =>
  HealthChecks.layer(checksOf(config), atOnce).pipe(Layer.provide(lazyProbe(config, tls)))
