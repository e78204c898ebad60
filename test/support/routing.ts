import * as Layer from "effect/Layer"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import type { Region } from "../../src/domain/Region.ts"
import type { CircuitOptions } from "../../src/domain/Circuit.ts"
import { Bindings } from "../../src/routing/Bindings.ts"
import { Circuits } from "../../src/routing/Circuits.ts"
import { type NoRoute, type Route, type RouteRequest, Router } from "../../src/routing/Router.ts"
import type { Upstream } from "../../src/routing/Upstream.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { clientNumber, geoOf } from "./fixtures.ts"

export interface RoutingOptions {
  readonly region?: Region
  readonly spillAt?: "hard" | "soft"
  readonly ttlMs?: number
  readonly gcIntervalMs?: number
  readonly bindingMax?: number
  readonly bindingMaxConnections?: number
  readonly circuit?: CircuitOptions
  readonly panicThreshold?: number
}

/** A router with all it stands on. */
export const routing = (
  options: RoutingOptions = {}
): Layer.Layer<Bindings | Circuits | Router | Supervisor | Upstreams> =>
  Router.layer({
    region: options.region ?? "sa",
    bindingMaxConnections: options.bindingMaxConnections ?? 0
  }).pipe(
    Layer.provideMerge(Circuits.layer(options.circuit)),
    Layer.provideMerge(
      Layer.mergeAll(
        Upstreams.layer({ spillAt: options.spillAt ?? "hard", panicThreshold: options.panicThreshold ?? 0 }),
        Bindings.layer({
          ttlMs: options.ttlMs ?? 600_000,
          gcIntervalMs: options.gcIntervalMs ?? 60_000,
          max: options.bindingMax ?? 10_000
        })
      )
    ),
    Layer.provideMerge(Supervisor.layer)
  )

/** What a client asks for: by default one from nowhere, of any app. */
export const request = (
  client: number,
  from?: string,
  more: { readonly app?: string | undefined; readonly tried?: ReadonlyArray<Upstream> } = {}
): RouteRequest => ({
  client: clientNumber(client),
  geo: geoOf(from),
  app: more.app,
  tried: more.tried ?? []
})

/** The route, or an error that says why there is none. */
export const routed = (route: Route | NoRoute): Route => {
  if (typeof route === "string") throw new Error(`no route: ${route}`)
  return route
}

export const chosen = (route: Route | NoRoute): string =>
  typeof route === "string" ? route : route.lease.upstream.backend.id
