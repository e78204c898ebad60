import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Client } from "../domain/Client.ts"
import { type ClientGeo, unknownGeo } from "../domain/Score.ts"

/** Addresses change hands all the time, and the licence of GeoLite2 asks for an update within 30 days of a release. */
export const OLD_GEO_DAYS = 30

/** Address -> where it is. Synchronous and total: not known is a value, never a region by default (R2). */
export class GeoResolver extends Context.Service<
  GeoResolver,
  {
    readonly resolve: (client: Client) => ClientGeo
    /** When its data was put together, in Unix milliseconds; undefined when it does not tell. */
    readonly builtAt: () => number | undefined
  }
>()("edgeproxy/routing/GeoResolver") {
  /** Answers from a fixed list of addresses. */
  static readonly layerFixed = (places: ReadonlyMap<string, ClientGeo>): Layer.Layer<GeoResolver> =>
    Layer.succeed(GeoResolver, {
      resolve: (client) => places.get(client.address) ?? unknownGeo,
      builtAt: () => undefined
    })
}
