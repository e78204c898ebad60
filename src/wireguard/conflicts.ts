import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Plan } from "./addressPlan.ts"
import type { MeshHost } from "./Mesh.ts"
import { hostPath } from "./Topology.ts"
import type { TopologyProblem } from "./TopologyError.ts"

const at = (host: MeshHost, key: string): string => hostPath(host.path, host.name, key)

/** What one host has and no other may have: told at the second of them. */
const twice = (
  hosts: ReadonlyArray<MeshHost>,
  key: string,
  what: string,
  of: (host: MeshHost) => ReadonlyArray<string>,
  hint = ""
): ReadonlyArray<TopologyProblem> => {
  const first = new Map<string, MeshHost>()
  return hosts.flatMap((host) =>
    of(host).flatMap((value) => {
      const other = first.get(value)
      if (other === undefined) first.set(value, host)
      return other === undefined
        ? []
        : [{ path: at(host, key), message: `${what} ${value} is that of ${at(other, "")} already${hint}` }]
    })
  )
}

/** Hosts of one number have one address in each family: told once. */
const sameAddresses = (hosts: ReadonlyArray<MeshHost>): ReadonlyArray<TopologyProblem> => {
  const found = twice(
    hosts,
    "",
    "the address",
    ({ addresses }) => addresses.map(NetAddress.formatIp),
    "; give one of them another number"
  )
  return Array.from(new Map(found.toReversed().map((problem) => [problem.path, problem])).values()).toReversed()
}

const overlaps = (a: IpNetwork.IpNetwork, b: IpNetwork.IpNetwork): boolean =>
  NetAddress.familyOf(a.address) === NetAddress.familyOf(b.address) && IpNetwork.overlaps(a, b)

/** Networks behind hosts: none may lie in the overlay or in another, or one packet would have two ways. */
const routeConflicts = (hosts: ReadonlyArray<MeshHost>, plans: ReadonlyArray<Plan>): ReadonlyArray<TopologyProblem> => {
  const all = hosts.flatMap((host) => host.routes.map((network, index) => ({ host, network, index })))
  return all.flatMap(({ host, index, network }, place) => {
    const path = at(host, `routes[${index}]`)
    const text = IpNetwork.format(network)
    if (plans.every((plan) => NetAddress.familyOf(plan.network.address) !== NetAddress.familyOf(network.address))) {
      return [{ path, message: `${text}: that family is off in the overlay` }]
    }
    const plan = plans.find((plan) => overlaps(plan.network, network))
    if (plan !== undefined)
      return [{ path, message: `${text} overlaps the overlay, ${IpNetwork.format(plan.network)}` }]
    const other = all.slice(0, place).find((earlier) => overlaps(earlier.network, network))
    if (other === undefined) return []
    return [{ path, message: `${text} overlaps ${IpNetwork.format(other.network)} of ${at(other.host, "")}` }]
  })
}

/** What hosts must not have in common. */
export const conflictsOf = (
  hosts: ReadonlyArray<MeshHost>,
  plans: ReadonlyArray<Plan>
): ReadonlyArray<TopologyProblem> => [
  ...twice(hosts, "name", "the name", ({ name }) => [name]),
  ...sameAddresses(hosts),
  ...twice(hosts, "endpoint", "the endpoint", ({ endpoint }) =>
    endpoint === undefined ? [] : [Host.formatHostPort(endpoint)]
  ),
  ...twice(hosts, "public_key", "the key", ({ key }) => (key._tag === "Elsewhere" ? [key.publicKey] : [])),
  ...twice(hosts, "private_key_file", "the key in", ({ key }) => (key._tag === "File" ? [key.path] : [])),
  ...routeConflicts(hosts, plans)
]
