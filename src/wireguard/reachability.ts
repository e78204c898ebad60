import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import { isIn } from "./addressPlan.ts"
import type { MeshHost, Peer } from "./Mesh.ts"

/** Two hosts that the tunnels as planned don't bring together, or one address with two ways. */
export interface Unreached {
  readonly from: MeshHost
  readonly to: MeshHost
  readonly why: string
}

/** More is a loop: the longest way is spoke, hub, hub, spoke. */
const MAX_HOPS = 4

/** Whose addresses lie in a network, as places in the list of hosts; most networks are of one address, and in many tables. */
const membership = (hosts: ReadonlyArray<MeshHost>) => {
  const known = new Map<IpNetwork.IpNetwork, ReadonlyArray<number>>()
  const owners = new Map(
    hosts.flatMap(({ addresses }, place) =>
      addresses.map((ip) => [`${NetAddress.formatIp(ip)}/${NetAddress.width(ip)}`, place])
    )
  )
  const lookUp = (network: IpNetwork.IpNetwork): ReadonlyArray<number> => {
    const owner = owners.get(IpNetwork.format(network))
    if (owner !== undefined) return [owner]
    return hosts.flatMap(({ addresses }, place) => (addresses.some((ip) => isIn(network, ip)) ? [place] : []))
  }
  return (network: IpNetwork.IpNetwork): ReadonlyArray<number> => {
    const found = known.get(network) ?? lookUp(network)
    known.set(network, found)
    return found
  }
}

const NONE = -1

/**
 * Follows a packet from every host to every other through the AllowedIPs as they will be written, and checks that each host on
 * the way takes it from the one before. Empty when all reach all.
 */
export const unreachedOf = (
  hosts: ReadonlyArray<MeshHost>,
  peers: ReadonlyMap<MeshHost, ReadonlyArray<Peer>>
): ReadonlyArray<Unreached> => {
  const count = hosts.length
  const places = new Map(hosts.map((host, place) => [host, place]))
  const callable = hosts.map(({ endpoint }) => endpoint !== undefined)
  const nameOf = (place: number): string => hosts[place]?.name ?? ""
  const membersOf = membership(hosts)
  const found: Array<Unreached> = []

  /**
   * The peer that the kernel of each host gives what is for each other: WireGuard's cryptokey routing, which also says from
   * whom it is taken. A million pairs of a thousand hosts are why these are numbers in one array.
   */
  const waysOf = (width: number): Int16Array => {
    const ways = new Int16Array(count * count).fill(NONE)
    for (const [from, host] of hosts.entries()) {
      for (const { allowed, host: peer } of peers.get(host) ?? []) {
        const place = places.get(peer) ?? NONE
        for (const network of allowed) {
          if (NetAddress.width(network.address) !== width) continue
          for (const to of membersOf(network)) {
            const at = from * count + to
            const other = ways[at] ?? NONE
            const toHost = hosts[to]
            if (other !== NONE && toHost !== undefined) {
              found.push({ from: host, to: toHost, why: `both ${nameOf(other)} and ${peer.name} lead there` })
            }
            if (to !== from) ways[at] = place
          }
        }
      }
    }
    return ways
  }

  const walk = (ways: Int16Array, from: number, to: number): string | undefined => {
    let current = from
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      const hop = ways[current * count + to] ?? NONE
      if (hop === NONE) return `${nameOf(current)} has no way to it`
      if (callable[current] !== true && callable[hop] !== true) {
        return `neither ${nameOf(current)} nor ${nameOf(hop)} has an endpoint`
      }
      // The way back is the filter for what comes in.
      if (ways[hop * count + from] !== current) return `${nameOf(hop)} takes nothing of it from ${nameOf(current)}`
      if (hop === to) return undefined
      current = hop
    }
    return "the way goes round in circles"
  }

  for (const width of new Set(hosts.flatMap(({ addresses }) => addresses.map(NetAddress.width)))) {
    const ways = waysOf(width)
    for (const [at, from] of hosts.entries()) {
      for (const [there, to] of hosts.entries()) {
        const why = at === there ? undefined : walk(ways, at, there)
        if (why !== undefined) found.push({ from, to, why })
      }
    }
  }
  return found
}
