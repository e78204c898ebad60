import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { forEachSliced } from "../actor/Sliced.ts"
import type { ClientRefusal } from "../domain/AccessList.ts"
import { type Client, clientFromText, formatClientKey } from "../domain/Client.ts"
import { hostNameFromBytes } from "../domain/HostName.ts"
import type { Region } from "../domain/Region.ts"
import type { ClientGeo } from "../domain/Score.ts"
import * as SniRoutes from "../domain/SniRoutes.ts"
import { Bindings } from "./Bindings.ts"
import {
  barrierOf,
  candidateOf,
  type ExplainedBinding,
  type ExplainedCandidate,
  type ExplainedOut,
  type Explanation,
  outOf,
  outReasonOf
} from "./Explanation.ts"
import { GeoResolver } from "./GeoResolver.ts"
import { type NoRoute, type Route, type RouteRequest, Router } from "./Router.ts"
import type { Upstream } from "./Upstream.ts"
import { Upstreams } from "./Upstreams.ts"

/** The question can't be answered. */
export class ExplainError extends Data.TaggedError("ExplainError")<{
  readonly reason: "address" | "server-name"
  readonly message: string
}> {}

export interface ExplainOptions {
  readonly region: Region
  readonly spillAt: "hard" | "soft"
  /** Whether a client would be let in at all; without it everybody is. */
  /** Where TLS server names lead; without it nowhere. */
  readonly serverNames?: { readonly routes: ReadonlyArray<SniRoutes.SniRoute>; readonly unknown: "default" | "refuse" }
  readonly refusalOf?: (client: Client, place: ClientGeo) => ClientRefusal | undefined
}

const encoder = new TextEncoder()

/** Entries of each list of an answer, and the most that may be asked for. */
export const SHOWN = 20
export const MAX_SHOWN = 100

/**
 * Why would this client go there (D4)? It asks the router itself, in rehearsal, so that it can't tell another story: each
 * reservation is given back in the same turn, nothing is bound, and no binding's age or place in the table moves.
 */
export class Explain extends Context.Service<
  Explain,
  {
    /**
     * `app` undefined: as on a listener without one. `shown` bounds each list of the answer. `sni`: the client asks for this
     * TLS server name.
     */
    readonly explain: (
      ip: string,
      app: string | undefined,
      shown?: number,
      sni?: string
    ) => Effect.Effect<Explanation, ExplainError>
  }
>()("edgeproxy/routing/Explain") {
  static readonly layer = (
    options: ExplainOptions
  ): Layer.Layer<Explain, never, Bindings | GeoResolver | Router | Upstreams> => Layer.effect(Explain, make(options))
}

export const make = Effect.fnUntraced(function* (options: ExplainOptions) {
  const router = yield* Router
  const bindings = yield* Bindings
  const upstreams = yield* Upstreams
  const geo = yield* GeoResolver

  const { routes = [], unknown = "default" } = options.serverNames ?? {}
  const names = SniRoutes.make(routes)

  const rehearse = (request: RouteRequest) =>
    bindings.rehearse(() => {
      const route = router.route(request)
      if (typeof route !== "string") router.fail(route)
      return route
    })

  /** The candidates in the order in which a connection would try them. Each takes far below a millisecond. */
  const ranked = Effect.fnUntraced(function* (request: RouteRequest, first: Route | NoRoute, shown: number) {
    const tried: Array<Upstream> = []
    const list: Array<ExplainedCandidate> = []
    let route = first
    while (typeof route !== "string" && list.length < shown) {
      const { affinity, lease, tier } = route
      const place = { rank: list.length + 1, tier, bound: affinity === "hit", spillAt: options.spillAt }
      list.push(candidateOf(lease.upstream, place))
      tried.push(lease.upstream)
      yield* Effect.yieldNow
      route = rehearse({ ...request, tried }).result
    }
    return list
  })

  const explain = Effect.fnUntraced(function* (
    ip: string,
    listenerApp: string | undefined,
    shown: number = SHOWN,
    sni?: string
  ) {
    const client = clientFromText(ip)
    if (client === undefined) {
      return yield* new ExplainError({ reason: "address", message: "expected an IPv4 or IPv6 address" })
    }
    const name = sni === undefined ? undefined : hostNameFromBytes(encoder.encode(sni))
    if (sni !== undefined && name === undefined) {
      return yield* new ExplainError({ reason: "server-name", message: "expected a host name" })
    }
    const named = name === undefined ? undefined : names.appOf(name)
    const app = named ?? listenerApp
    const limit = Math.min(Math.max(1, Math.trunc(shown)), MAX_SHOWN)
    const place = geo.resolve(client)
    const request: RouteRequest = { client, geo: place, app, tried: [] }
    // The router remembers apps for good, so it is not asked about one that nobody has.
    const pool = upstreams.pool(app)
    const known = pool !== undefined
    const panic = known && pool.panic
    const { found, result } = known ? rehearse(request) : { found: undefined, result: "no-backend" as const }
    const hit = typeof result !== "string" && result.affinity === "hit"

    const bindingOf = (bound: NonNullable<typeof found>): ExplainedBinding => {
      const upstream = upstreams.bySeq(bound.backend)
      const barrier = upstream === undefined ? "removed" : barrierOf(upstream, app, panic)
      return {
        backend: upstream?.backend.id ?? null,
        open_connections: bound.open,
        seconds_left: bound.leftMs === undefined ? null : bound.leftMs / 1_000,
        unused: hit ? null : (barrier ?? "binding-limit")
      }
    }
    const binding = found === undefined ? null : bindingOf(found)
    const candidates = yield* ranked(request, result, limit)

    let open = 0
    let closed = 0
    const own: Array<ExplainedOut> = []
    const others: Array<ExplainedOut> = []
    yield* forEachSliced(upstreams.all(), (upstream) => {
      const reason = outReasonOf(upstream, app, panic)
      // The bound backend is a candidate even at weight 0.
      if (reason === undefined || (hit && upstream === result.lease.upstream)) return void open++
      closed++
      const list = reason === "other-app" ? others : own
      if (list.length < limit) list.push(outOf(upstream, reason))
    })

    return {
      client: {
        address: client.address,
        key: formatClientKey(client.key),
        country: place.country ?? null,
        region: place.region ?? null,
        refused: options.refusalOf?.(client, place) ?? null
      },
      sni:
        name === undefined
          ? null
          : { name, routed: named !== undefined, refused: named === undefined && unknown === "refuse" },
      app: app ?? null,
      pop_region: options.region,
      panic,
      binding,
      choice:
        typeof result === "string"
          ? { backend: null, reason: result }
          : { backend: result.lease.upstream.backend.id, tier: result.tier, affinity: result.affinity },
      candidates: { total: open, shown: candidates },
      out: { total: closed, shown: [...own, ...others].slice(0, limit) }
    } satisfies Explanation
  })

  return Explain.of({ explain })
})
