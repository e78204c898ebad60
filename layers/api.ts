import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import manifest from "../package.json" with { type: "json" }
import { Registry } from "../src/backends/Registry.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import { LiveConfig } from "../src/config/LiveConfig.ts"
import { trafficListeners } from "../src/config/listeners.ts"
import { readyMetrics } from "../src/api/readyMetrics.ts"
import { Ready } from "../src/api/Ready.ts"
import { registryMetrics } from "../src/backends/registryMetrics.ts"
import { Collectors } from "../src/observe/Collectors.ts"
import { Explain } from "../src/routing/Explain.ts"
import { ClientAdmission } from "../src/traffic/ClientAdmission.ts"
import { Shutdown } from "../src/traffic/Shutdown.ts"
import { addressPolicies, isShared } from "./addresses.ts"
import { Host } from "./host/Host.ts"
import { vitals } from "./host/vitals.ts"
import * as ApiServer from "./http/ApiServer.ts"
import { apiMetrics } from "./http/apiMetrics.ts"
import { connectionsOf, defaultLimits } from "./http/limits.ts"

/** What begins with the API is measured from then on. */
const measured = Layer.effectDiscard(
  Effect.gen(function* () {
    const { add } = yield* Collectors
    yield* Effect.forEach(yield* Effect.all([readyMetrics, registryMetrics, apiMetrics]), add, { discard: true })
  })
)

/** The discovery API and what stands behind it. A file of its own, which is loaded while the listeners serve already. */
export const ApiEndpoint = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* EdgeConfig
    const live = yield* LiveConfig
    const { handedOver } = yield* Shutdown
    const { addresses, fdLimit } = yield* Host
    const clients = yield* ClientAdmission
    const connections = connectionsOf(fdLimit)
    const policies = addressPolicies(config, addresses)
    const listeners = trafficListeners(config).length
    const server = ApiServer.layer({
      address: config.apiListenAddr,
      token: config.apiToken,
      readToken: config.apiReadToken,
      publicReads: config.apiPublicReads,
      version: manifest.version,
      pop: config.popId,
      region: config.region,
      listeners,
      vitals: vitals(fdLimit),
      page: config.dashboardEnabled
        ? Effect.promise(() => import("./dashboard/load.ts").then(({ load }) => load()))
        : undefined,
      limits: { connections, connectionsForLoopback: Math.min(defaultLimits.connectionsForLoopback, connections / 2) }
    })
    return measured.pipe(
      Layer.provide([server, Ready.layer({ listeners })]),
      Layer.provide([
        Registry.layer({
          isRetired: () => Deferred.isDoneUnsafe(handedOver),
          pop: config.popId,
          ttlMs: config.heartbeatTtlMs,
          // What others read of a shared table, they judge as rows of a shared table.
          policy: isShared(config) ? policies.shared : policies.registered
        }),
        Explain.layer({
          region: config.region,
          get spillAt() {
            return live.current().spillAt
          },
          serverNames: { routes: config.tlsSniRoutes, unknown: config.tlsUnknownSni },
          refusalOf: clients.refusalOf
        })
      ])
    )
  })
)
