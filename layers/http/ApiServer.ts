import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { Supervisor } from "../../src/actor/Supervisor.ts"
import * as app from "../../src/api/app.ts"
import { LIVE_PATH } from "../../src/api/OperationsGroup.ts"
import { HEALTH_PATH, READY_PATH } from "../../src/api/ProbesGroup.ts"
import type { BackendEvents } from "../../src/backends/BackendEvents.ts"
import type { Certificates } from "../../src/tls/Certificates.ts"
import type { Registry } from "../../src/backends/Registry.ts"
import type { Conditions } from "../../src/observe/Conditions.ts"
import type { AccessLog } from "../../src/observe/AccessLog.ts"
import type { LoopDelay } from "../../src/observe/LoopDelay.ts"
import type { Explain } from "../../src/routing/Explain.ts"
import type { GeoResolver } from "../../src/routing/GeoResolver.ts"
import type { RoutingTable } from "../../src/routing/RoutingTable.ts"
import type { Upstreams } from "../../src/routing/Upstreams.ts"
import type { Admission } from "../../src/traffic/Admission.ts"
import type { Connections } from "../../src/traffic/Connections.ts"
import type { RecentConnections } from "../../src/traffic/RecentConnections.ts"
import { Shutdown } from "../../src/traffic/Shutdown.ts"
import type { TrafficCounters } from "../../src/traffic/TrafficCounters.ts"
import { type Endpoint, formatEndpoint, type ListenError, type Transport } from "../../src/traffic/Transport.ts"
import * as HttpListener from "./HttpListener.ts"
import { defaultLimits, type ServerLimits } from "./limits.ts"
import * as tokens from "./tokens.ts"

export interface ApiOptions extends Omit<app.AppOptions, "closing"> {
  readonly address: Endpoint
  readonly token: Redacted.Redacted | undefined
  readonly readToken: Redacted.Redacted | undefined
  /** The others stay as they are by default. */
  readonly limits?: Partial<ServerLimits>
}

/**
 * The discovery API (D1-D6) on a port of its own. It lives in its scope from first to last: a drain that waits for
 * connections goes on while it answers, with `/ready` saying no.
 */
export class ApiServer extends Context.Service<
  ApiServer,
  {
    /** As bound: port 0 is resolved. */
    readonly address: Endpoint
    readonly counts: () => HttpListener.ListenerCounts
  }
>()("edgeproxy/layers/http/ApiServer") {}

const make = Effect.fnUntraced(
  function* (options: ApiOptions) {
    // Ended after the listener: a request that is being answered has its second.
    const fibers = yield* Scope.fork(yield* Effect.scope, "parallel")
    const { handedOver } = yield* Shutdown
    const closing = yield* Deferred.make<void>()
    // Whoever looks on comes back, to the process that has taken over.
    const ends = Effect.raceFirst(Deferred.await(closing), Deferred.await(handedOver))
    const api = yield* app.make({ ...options, closing: ends })
    const handler = yield* NodeHttpServer.makeHandler(api, { scope: fibers })
    const { address, counts } = yield* HttpListener.listen({
      address: options.address,
      until: Deferred.await(handedOver),
      limits: { ...defaultLimits, ...options.limits },
      probes: [HEALTH_PATH, READY_PATH],
      streams: [LIVE_PATH],
      handler
    })
    // Ahead of the listener, which would wait for them.
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))
    yield* Effect.logInfo("API endpoint", { address: formatEndpoint(address) })
    return ApiServer.of({ address, counts })
  },
  Effect.annotateLogs({ service: "api" })
)

export const layer = (
  options: ApiOptions
): Layer.Layer<
  ApiServer,
  ListenError,
  | AccessLog
  | Admission
  | BackendEvents
  | Certificates
  | Conditions
  | Connections
  | Explain
  | GeoResolver
  | LoopDelay
  | RecentConnections
  | Registry
  | RoutingTable
  | Shutdown
  | Supervisor
  | TrafficCounters
  | Transport
  | Upstreams
> => Layer.effect(ApiServer, make(options)).pipe(Layer.provide(tokens.layer(options)))
