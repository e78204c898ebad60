import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { monotonicMs } from "../actor/Monotonic.ts"
import * as AccessList from "../domain/AccessList.ts"
import type { Client, ClientKey } from "../domain/Client.ts"
import type { ClientGeo } from "../domain/Score.ts"
import type { Rate } from "../domain/TokenBucket.ts"
import * as ClientCounts from "./ClientCounts.ts"
import * as RateLimit from "./RateLimit.ts"

export interface ClientRules extends AccessList.AccessRules {
  /** Live connections of one client key; 0 is off. */
  readonly maxConnections: number
  /** New connections of one client key (H4); undefined is off. */
  readonly rate: Rate | undefined
}

/**
 * Which clients are let in: those that may connect at all, within their number of connections and their rate. All of it is
 * decided in the step that accepts a connection, before anything else is done for it.
 */
export class ClientAdmission extends Context.Service<
  ClientAdmission,
  {
    /** Counts the client's connection, or says why it has none. A refusal takes no token. */
    readonly admit: (client: Client, place: ClientGeo) => AccessList.ClientRefusal | undefined
    /** A connection that was let in has ended. */
    readonly leave: (key: ClientKey) => void
    /** What `admit` would say; nothing changes (D4). */
    readonly refusalOf: (client: Client, place: ClientGeo) => AccessList.ClientRefusal | undefined
    /** For new connections; open ones stay, and count. */
    readonly setRules: (rules: ClientRules) => void
    /** Client keys that have a connection. */
    readonly clients: () => number
    /** Buckets of the rate limit that were forgotten before they were full again. */
    readonly forgotten: () => number
  }
>()("edgeproxy/traffic/ClientAdmission") {
  static readonly layer = (rules: ClientRules): Layer.Layer<ClientAdmission> =>
    Layer.effect(ClientAdmission, make(rules))
}

export const make = Effect.fnUntraced(function* (initial: ClientRules) {
  const now = yield* monotonicMs
  const seed = yield* Random.nextIntBetween(0, 0xffffffff)
  const live = ClientCounts.make(seed)
  let rules = initial
  let access = AccessList.make(initial)
  // The table is made with the first rate, and stays.
  let limit = initial.rate && RateLimit.make(initial.rate, { seed })

  const barrierOf = (client: Client, place: ClientGeo): AccessList.ClientRefusal | undefined =>
    access.denialOf(client, place) ??
    (rules.maxConnections > 0 && live.of(client.key) >= rules.maxConnections ? "client-limit" : undefined)

  const inForce = (): RateLimit.RateLimit | undefined => (rules.rate === undefined ? undefined : limit)

  return ClientAdmission.of({
    admit: (client, place) => {
      const barrier = barrierOf(client, place)
      if (barrier !== undefined) return barrier
      if (inForce()?.take(client.key, now()) === false) return "rate-limit"
      live.add(client.key)
      return undefined
    },
    leave: live.remove,
    refusalOf: (client, place) =>
      barrierOf(client, place) ?? (inForce()?.has(client.key, now()) === false ? "rate-limit" : undefined),
    setRules: (next) => {
      rules = next
      access = AccessList.make(next)
      if (next.rate === undefined) return
      if (limit === undefined) limit = RateLimit.make(next.rate, { seed })
      else limit.setRate(next.rate, now())
    },
    clients: live.size,
    forgotten: () => limit?.forgotten() ?? 0
  })
})
