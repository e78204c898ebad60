import type * as IpNetwork from "effect/net/IpNetwork"
import type { Client } from "./Client.ts"
import * as NetworkSet from "./NetworkSet.ts"
import type { Country } from "./Region.ts"
import type { ClientGeo } from "./Score.ts"

/** Who may connect. Nobody listed: everybody. */
export interface AccessRules {
  /** When there are any, all other networks may not. */
  readonly allow: ReadonlyArray<IpNetwork.IpNetwork>
  readonly deny: ReadonlyArray<IpNetwork.IpNetwork>
  readonly denyCountries: ReadonlyArray<Country>
}

/** Which kind of rule keeps a client out. */
export type Denial = "denied-network" | "denied-country"

/** Why a client is not let in: by a rule, for its live connections, or for its new ones. */
export const clientRefusals = ["denied-network", "denied-country", "client-limit", "rate-limit"] as const

export type ClientRefusal = (typeof clientRefusals)[number]

/**
 * Each rule can only keep out: a client has to be in an allowed network (if any is listed), in no denied network, and in no
 * denied country. So no list opens what another one closes, and their order does not matter. A client whose country is
 * not known is in no denied one: nothing is guessed (R2).
 */
export interface AccessList {
  readonly denialOf: (client: Client, place: ClientGeo) => Denial | undefined
}

export const make = ({ allow, deny, denyCountries }: AccessRules): AccessList => {
  const allowed = allow.length === 0 ? undefined : NetworkSet.make(allow)
  const denied = NetworkSet.make(deny)
  const countries = new Set<Country>(denyCountries)
  return {
    denialOf: (client, { country }) => {
      if (allowed?.has(client) === false || denied.has(client)) return "denied-network"
      return country !== undefined && countries.has(country) ? "denied-country" : undefined
    }
  }
}
