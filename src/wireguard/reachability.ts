import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { MeshHost, Peer } from "./Mesh.ts"

/** Two hosts that the tunnels as planned don't bring together, or one address with two ways. */
export interface Unreached {
  readonly from: MeshHost
  readonly to: MeshHost
  readonly why: string
}

/** More is a loop: the longest way is spoke, hub, hub, spoke. */
const MAX_HOPS = 4

const keyOf = (network: IpNetwork.IpNetwork): string => IpNetwork.format(network)

/** Which peer a host's kernel would give each address: WireGuard's cryptokey routing, which also says from whom it is taken. */
const tableOf = (peers: ReadonlyArray<Peer>) => {
  const exact = new Map<string, MeshHost>()
  const wide: Array<readonly [IpNetwork.IpNetwork, MeshHost]> = []
  const twice: Array<string> = []
  for (const { allowed, host } of peers) {
    for (const network of allowed) {
      const isSingle = network.prefixLength === NetAddress.width(network.address)
      const key = keyOf(network)
      if (isSingle && exact.has(key)) twice.push(key)
      if (isSingle) exact.set(key, host)
      else wide.push([network, host])
    }
  }
  return {
    twice,
    find: (ip: NetAddress.IpAddress): MeshHost | undefined => {
      const found = exact.get(`${NetAddress.formatIp(ip)}/${NetAddress.width(ip)}`)
      if (found !== undefined) return found
      return wide.find(
        ([network]) =>
          NetAddress.familyOf(network.address) === NetAddress.familyOf(ip) && IpNetwork.contains(network, ip)
      )?.[1]
    }
  }
}

/**
 * Follows a packet from every host to every other through the AllowedIPs as they will be written, and checks that each host on
 * the way takes it from the one before. Empty when all reach all.
 */
export const unreachedOf = (
  hosts: ReadonlyArray<MeshHost>,
  peers: ReadonlyMap<MeshHost, ReadonlyArray<Peer>>
): ReadonlyArray<Unreached> => {
  const families = hosts[0]?.addresses.length ?? 0
  const found: Array<Unreached> = []
  for (let family = 0; family < families; family++) {
    const ways = new Map(
      hosts.map((host) => {
        const table = tableOf(peers.get(host) ?? [])
        for (const key of table.twice) found.push({ from: host, to: host, why: `two ways to ${key}` })
        const way = new Map<MeshHost, MeshHost | undefined>()
        for (const to of hosts) {
          const ip = to.addresses[family]
          if (to !== host && ip !== undefined) way.set(to, table.find(ip))
        }
        return [host, way] as const
      })
    )
    const walk = (from: MeshHost, to: MeshHost): string | undefined => {
      let current = from
      for (let hops = 0; hops < MAX_HOPS; hops++) {
        const hop = ways.get(current)?.get(to)
        if (hop === undefined) return `${current.name} has no way to it`
        if (current.endpoint === undefined && hop.endpoint === undefined) {
          return `neither ${current.name} nor ${hop.name} has an endpoint`
        }
        // The way back is the filter for what comes in.
        if (ways.get(hop)?.get(from) !== current) return `${hop.name} takes nothing of it from ${current.name}`
        if (hop === to) return undefined
        current = hop
      }
      return "the way goes round in circles"
    }
    for (const from of hosts) {
      for (const to of hosts) {
        const why = from === to ? undefined : walk(from, to)
        if (why !== undefined) found.push({ from, to, why })
      }
    }
  }
  return found
}
