import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import { isIn, type Plan } from "./addressPlan.ts"
import type { MeshHost, Peer } from "./Mesh.ts"
import type { Wiring } from "./shapes.ts"

/** The network of just one address. */
const single = (ip: NetAddress.IpAddress): IpNetwork.IpNetwork =>
  Result.getOrThrow(IpNetwork.make(ip, NetAddress.width(ip)))

/** A region's addresses in one family, and who has one of them. */
interface Block {
  readonly network: IpNetwork.IpNetwork
  readonly members: ReadonlySet<MeshHost>
}

const blocksOf = (
  hosts: ReadonlyArray<MeshHost>,
  plan: Plan,
  regionNumbers: ReadonlyArray<number>
): ReadonlyArray<Block> =>
  regionNumbers.flatMap((number) => {
    const network = plan.blockOf(number)
    if (network === undefined) return []
    const members = hosts.filter(({ addresses }) => addresses.some((ip) => isIn(network, ip)))
    return [{ network, members: new Set(members) }]
  })

/**
 * The peers of every host with what is reached through each. Where a peer leads to all others, that is the whole overlay; where
 * it leads to all hosts of a region, the region's block: a host that is added there changes its own file and its hub's only.
 * No address is ever in the AllowedIPs of two peers of one host.
 */
export const peersOf = (
  hosts: ReadonlyArray<MeshHost>,
  plans: ReadonlyArray<Plan>,
  regionNumbers: ReadonlyArray<number>,
  { next }: Wiring
): ReadonlyMap<MeshHost, ReadonlyArray<Peer>> => {
  const blocks = plans.map((plan) => blocksOf(hosts, plan, regionNumbers))
  const singles = new Map(hosts.map((host) => [host, host.addresses.map(single)]))

  const allowed = (own: MeshHost, peer: MeshHost, reached: ReadonlySet<MeshHost>): Peer["allowed"] => {
    const routes = Array.from(reached, ({ routes }) => routes).flat()
    if (reached.size === 1) return [...(singles.get(peer) ?? []), ...routes]
    if (reached.size === hosts.length - 1) {
      return [...plans.map(({ network }) => network), ...routes]
    }
    const networks = blocks.flatMap((blocks, family) => {
      const whole = blocks.filter(
        ({ members }) =>
          !members.has(own) &&
          Array.from(members).some((member) => member !== peer) &&
          Array.from(members).every((member) => reached.has(member))
      )
      const rest = Array.from(reached).filter((host) => !whole.some(({ members }) => members.has(host)))
      return [...rest.flatMap((host) => singles.get(host)?.[family] ?? []), ...whole.map(({ network }) => network)]
    })
    return [...networks, ...routes]
  }

  return new Map(
    hosts.map((own) => {
      const through = new Map<MeshHost, Set<MeshHost>>()
      for (const host of hosts) {
        if (host === own) continue
        const peer = next(own, host)
        const reached = through.get(peer) ?? new Set()
        through.set(peer, reached)
        reached.add(host)
      }
      const peers = hosts.flatMap((host): ReadonlyArray<Peer> => {
        const reached = through.get(host)
        return reached === undefined ? [] : [{ host, allowed: allowed(own, host, reached) }]
      })
      return [own, peers]
    })
  )
}
