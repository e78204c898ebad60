import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Supervisor } from "../src/actor/Supervisor.ts"
import { HealthChecks } from "../src/backends/HealthChecks.ts"
import { WarmPool } from "../src/backends/WarmPool.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { ConfigError } from "../src/config/ConfigError.ts"
import { type ConfigFileError, LiveConfig } from "../src/config/LiveConfig.ts"
import type { ConfigValues } from "../src/config/variables.ts"
import type { CircuitOptions } from "../src/domain/Circuit.ts"
import { Circuits } from "../src/routing/Circuits.ts"
import type { Conditions } from "../src/observe/Conditions.ts"
import { RoutingTable } from "../src/routing/RoutingTable.ts"
import { Upstreams, type UpstreamsOptions } from "../src/routing/Upstreams.ts"
import { ClientAdmission, type ClientRules } from "../src/traffic/ClientAdmission.ts"
import { checksOf } from "./checks.ts"
import { loadEnvironmentWith } from "./config/environment.ts"
import { warmOptions } from "./warm.ts"

/** Who is let in. */
export const clientRules = (config: ConfigValues): ClientRules => ({
  allow: config.allowCidrs,
  deny: config.denyCidrs,
  denyCountries: config.denyCountries,
  maxConnections: config.maxConnectionsPerClient,
  rate: config.rateLimitEnabled
    ? { burst: config.rateLimitBurst, perMs: config.rateLimitMaxRequests / config.rateLimitWindowMs }
    : undefined
})

/** Undefined: off. */
export const circuitOptions = (config: ConfigValues): CircuitOptions | undefined =>
  config.circuitBreakerEnabled
    ? {
        failureThreshold: config.circuitFailureThreshold,
        successThreshold: config.circuitSuccessThreshold,
        timeoutMs: config.circuitTimeoutMs
      }
    : undefined

export const choiceOptions = (config: ConfigValues): UpstreamsOptions => ({
  spillAt: config.spillAt,
  panicThreshold: config.healthPanicThreshold
})

/** The configuration as it is now: with a file that is watched, where that is asked for. SIGHUP has it looked at at once. */
export const liveConfig: Layer.Layer<LiveConfig, ConfigError | ConfigFileError, Conditions | EdgeConfig | Supervisor> =
  Layer.unwrap(
    Effect.map(EdgeConfig, (config) => {
      if (!config.configWatchEnabled) return LiveConfig.layerFixed
      const file = Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./config/TomlFile.ts")),
          ({ layer }) => layer(config.configPath)
        )
      )
      const live = LiveConfig.layer({ loadWith: loadEnvironmentWith })
      return Layer.provideMerge(lookAtHangup, Layer.provide(live, file))
    })
  )

const lookAtHangup = Layer.effectDiscard(
  Effect.gen(function* () {
    const { look } = yield* LiveConfig
    const fork = Effect.runForkWith(yield* Effect.context())
    const listener = (): void => void fork(look)
    yield* Effect.acquireRelease(
      Effect.sync(() => void process.on("SIGHUP", listener)),
      () => Effect.sync(() => void process.off("SIGHUP", listener))
    )
  })
)

/**
 * Tells of changed settings whoever has to act on them. Everybody else reads them when they are used: their options are
 * objects whose properties look here.
 */
export const applyChanges = Layer.effectDiscard(
  Effect.gen(function* () {
    const live = yield* LiveConfig
    const upstreams = yield* Upstreams
    const circuits = yield* Circuits
    const checks = yield* HealthChecks
    const clients = yield* ClientAdmission
    const pool = yield* WarmPool
    const table = yield* RoutingTable
    const apply = Effect.fnUntraced(function* (config: ConfigValues) {
      clients.setRules(clientRules(config))
      yield* upstreams.setOptions(choiceOptions(config))
      yield* circuits.setOptions(circuitOptions(config))
      yield* checks.setOptions(checksOf(config))
      pool.setOptions(warmOptions(config))
      yield* table.reconsider
    })
    live.onChange(apply)
    // What has changed since each of them was made.
    yield* apply(live.current())
  })
)
