import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { Supervisor } from "../../src/actor/Supervisor.ts"
import * as app from "../../src/api/app.ts"
import { HEALTH_PATH, READY_PATH } from "../../src/api/ProbesGroup.ts"
import type { Registry } from "../../src/backends/Registry.ts"
import type { Conditions } from "../../src/observe/Conditions.ts"
import type { Explain } from "../../src/routing/Explain.ts"
import type { RoutingTable } from "../../src/routing/RoutingTable.ts"
import type { Admission } from "../../src/traffic/Admission.ts"
import type { Connections } from "../../src/traffic/Connections.ts"
import type { Shutdown } from "../../src/traffic/Shutdown.ts"
import { type Endpoint, formatEndpoint, type ListenError, type Transport } from "../../src/traffic/Transport.ts"
import * as HttpListener from "./HttpListener.ts"
import { defaultLimits, type ServerLimits } from "./limits.ts"
import * as tokens from "./tokens.ts"

export interface ApiOptions extends app.AppOptions {
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
  }
>()("edgeproxy/layers/http/ApiServer") {}

const make = Effect.fnUntraced(
  function* (options: ApiOptions) {
    // Ended after the listener: a request that is being answered has its second.
    const fibers = yield* Scope.fork(yield* Effect.scope, "parallel")
    const api = yield* app.make(options)
    const handler = yield* NodeHttpServer.makeHandler(api, { scope: fibers })
    const address = yield* HttpListener.listen({
      address: options.address,
      limits: { ...defaultLimits, ...options.limits },
      probes: [HEALTH_PATH, READY_PATH],
      handler
    })
    yield* Effect.logInfo("API endpoint", { address: formatEndpoint(address) })
    return ApiServer.of({ address })
  },
  Effect.annotateLogs({ service: "api" })
)

export const layer = (
  options: ApiOptions
): Layer.Layer<
  ApiServer,
  ListenError,
  Admission | Conditions | Connections | Explain | Registry | RoutingTable | Shutdown | Supervisor | Transport
> => Layer.effect(ApiServer, make(options)).pipe(Layer.provide(tokens.layer(options)))
