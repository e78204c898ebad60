import * as Result from "effect/Result"
import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import { isIn, type Plan } from "./addressPlan.ts"
import type { KeyOrigin, MeshHost } from "./Mesh.ts"
import { type HostEntry, hostPath, type Settings, usualRegionNumbers } from "./Topology.ts"
import type { TopologyProblem } from "./TopologyError.ts"

/** WireGuard's usual port, and what its own documentation says keeps most NATs open. */
export const USUAL = { port: 51_820, keepalive: 25, mtu: 1_420 } as const

type Given = HostEntry["given"]

const addressKeys = { 4: "address", 6: "address6" } as const

const familyOf = (ip: NetAddress.IpAddress): 4 | 6 => (NetAddress.isIpv4Address(ip) ? 4 : 6)

/** Neither the network's own address nor its broadcast. */
const isUsable = ({ network }: Plan, ip: NetAddress.IpAddress): boolean =>
  isIn(network, ip) &&
  NetAddress.formatIp(ip) !== NetAddress.formatIp(IpNetwork.firstAddress(network)) &&
  NetAddress.formatIp(ip) !== NetAddress.formatIp(IpNetwork.lastAddress(network))

/** Where a host calls from and is called at. Without a port, the usual one. */
const endpointOf = (text: string, port: number): Host.HostPort | undefined => {
  const withPort = Result.getOrUndefined(Host.hostPortFromString(text))
  if (withPort !== undefined) return withPort.port === 0 ? undefined : withPort
  const bare = Result.flatMap(Host.hostFromString(text.replace(/^\[(.*)\]$/, "$1")), (host) =>
    Host.hostPort(host, port)
  )
  return Result.getOrUndefined(bare)
}

/** Hosts can be called at one address only. */
const isCallable = ({ host }: Host.HostPort): boolean =>
  typeof host === "string" || (!NetAddress.isUnspecified(host) && !NetAddress.isMulticast(host))

const keyOf = (given: Given): KeyOrigin => {
  if (given.public_key !== undefined) return { _tag: "Elsewhere", publicKey: given.public_key }
  if (given.private_key_file !== undefined) return { _tag: "File", path: given.private_key_file }
  return { _tag: "Generated" }
}

/** Gives hosts without a number the lowest that no host above them in their region has. */
const numbering = () => {
  const taken = new Map<number, Set<number>>()
  return (region: number, wanted: number | undefined): number => {
    const numbers = taken.get(region) ?? new Set<number>()
    taken.set(region, numbers)
    let number = wanted ?? 1
    while (wanted === undefined && numbers.has(number)) number++
    numbers.add(number)
    return number
  }
}

/**
 * Hosts with their addresses and what else belongs to each alone. The number of a host depends on those above it in the file
 * only, so that a host that is added at the end moves none.
 */
export const resolveHosts = (
  settings: Settings,
  plans: ReadonlyArray<Plan>,
  entries: ReadonlyArray<HostEntry>
): { readonly hosts: ReadonlyArray<MeshHost>; readonly problems: ReadonlyArray<TopologyProblem> } => {
  const problems: Array<TopologyProblem> = []
  const numberOf = numbering()
  const regionNumbers = { ...usualRegionNumbers, ...settings.regions }

  const hosts = entries.map(({ given, kind, path }): MeshHost => {
    const wrong = (key: string, message: string): void =>
      void problems.push({ path: hostPath(path, given.name, key), message })

    const region = kind === "pop" ? 0 : regionNumbers[given.region]
    const number = numberOf(region, given.number)
    const addresses = plans.flatMap((plan): ReadonlyArray<NetAddress.IpAddress> => {
      const family = familyOf(plan.network.address)
      const key = addressKeys[family]
      const wanted = given[key]
      if (wanted === undefined) {
        const planned = plan.addressOf(region, number)
        if (planned !== undefined) return [planned]
        wrong("number", `the plan has no IPv${family} address for host ${number} of region ${region}`)
        return []
      }
      const ip = Result.getOrUndefined(NetAddress.ipFromString(wanted))
      if (ip !== undefined && familyOf(ip) === family && isUsable(plan, ip)) return [ip]
      wrong(key, `expected an address of a host in ${IpNetwork.format(plan.network)}`)
      return []
    })
    for (const family of [4, 6] as const) {
      const isOff = !plans.some(({ network }) => familyOf(network.address) === family)
      if (isOff && given[addressKeys[family]] !== undefined) wrong(addressKeys[family], `ipv${family} is off`)
    }

    const usualPort = settings.port ?? USUAL.port
    const endpoint = given.endpoint === undefined ? undefined : endpointOf(given.endpoint, usualPort)
    if (given.endpoint !== undefined && (endpoint === undefined || !isCallable(endpoint))) {
      wrong("endpoint", "expected name:port, IPv4:port or [IPv6]:port of one host")
    }
    const inside = endpoint !== undefined && typeof endpoint.host !== "string" ? endpoint.host : undefined
    if (inside !== undefined && plans.some(({ network }) => isIn(network, inside))) {
      wrong("endpoint", "it lies in the overlay, which is reached through it")
    }

    const isBehindNat = given.nat ?? given.endpoint === undefined
    const keepalive = given.keepalive ?? settings.keepalive ?? USUAL.keepalive
    if (isBehindNat && keepalive === 0) {
      wrong("keepalive", "a host behind NAT needs one: nobody could reach it once its mapping is forgotten")
    }
    if (given.nat === false && given.endpoint === undefined) {
      wrong("nat", "a host that is not behind NAT needs an endpoint")
    }

    const routes = (given.routes ?? []).flatMap((text, index): ReadonlyArray<IpNetwork.IpNetwork> => {
      const network = Result.getOrUndefined(IpNetwork.fromString(text))
      if (network !== undefined) return [network]
      const loose = Result.getOrUndefined(
        Result.flatMap(NetAddress.ipFromString(text.split("/", 1)[0] ?? ""), (ip) =>
          IpNetwork.fromAddress(ip, Number(text.split("/")[1]))
        )
      )
      const hint = loose === undefined ? "" : `; ${IpNetwork.format(loose)}, for one`
      wrong(`routes[${index}]`, `expected a network such as 192.168.7.0/24${hint}`)
      return []
    })

    if (given.public_key !== undefined && given.private_key_file !== undefined) {
      wrong("public_key", "either this or private_key_file")
    }
    return {
      kind,
      path,
      name: given.name,
      region: given.region,
      addresses,
      endpoint,
      listenPort: given.listen_port ?? endpoint?.port,
      keepaliveSecs: isBehindNat ? keepalive : (given.keepalive ?? 0),
      mtu: given.mtu ?? settings.mtu ?? USUAL.mtu,
      routes,
      hub: given.hub ?? false,
      via: given.via,
      key: keyOf(given)
    }
  })
  return { hosts, problems }
}
