import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Client } from "../domain/Client.ts"
import { type ClientGeo, unknownGeo } from "../domain/Score.ts"

/** Address -> where it is. Synchronous and total: not known is a value, never a region by default (R2). */
export class GeoResolver extends Context.Service<
  GeoResolver,
  {
    readonly resolve: (client: Client) => ClientGeo
  }
>()("edgeproxy/routing/GeoResolver") {
  /** Answers from a fixed list of addresses. */
  static readonly layerFixed = (places: ReadonlyMap<string, ClientGeo>): Layer.Layer<GeoResolver> =>
    Layer.succeed(GeoResolver, { resolve: (client) => places.get(client.address) ?? unknownGeo })
}
