import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"

export interface Place {
  readonly address: string
  readonly port: number
}

export interface AddressPolicyOptions {
  /** EDGEPROXY_BACKEND_ALLOW_CIDRS. */
  readonly allowed: ReadonlyArray<IpNetwork.IpNetwork>
  /** Whether loopback addresses count among them. */
  readonly loopback: boolean
  /** Where this process listens; a wildcard address stands for all of the host's. */
  readonly listeners: ReadonlyArray<Place>
  /** Of this host's interfaces. */
  readonly hostAddresses: ReadonlyArray<string>
}

/** Why a backend may not be there; undefined when it may. */
export type AddressPolicy = (place: Place) => string | undefined

const network = (text: string): IpNetwork.IpNetwork => Result.getOrThrow(IpNetwork.fromString(text))
const parse = (text: string): NetAddress.IpAddress | undefined =>
  Result.getOrUndefined(Result.map(NetAddress.ipFromString(text), (ip) => NetAddress.toCanonical(ip)))

/** Where clouds tell a machine its secrets: AWS on IPv6, Alibaba, Oracle, Azure. Those of the others are link-local. */
const metadata = ["fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"].map(network)

const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::"

/**
 * Where backends of others' making may live (D6, R9): a registration or a row of a shared table must not turn the proxy on
 * its host's secrets, on itself, or on what only the host may reach.
 */
export const make = ({ allowed, hostAddresses, listeners, loopback }: AddressPolicyOptions): AddressPolicy => {
  const here = new Set(
    hostAddresses.flatMap((text) => {
      const ip = parse(text)
      return ip === undefined ? [] : [NetAddress.formatIp(ip)]
    })
  )

  const isOwn = (ip: NetAddress.IpAddress, text: string, port: number): boolean =>
    listeners.some(
      (listener) =>
        listener.port === port &&
        (listener.address === text || (isWildcard(listener.address) && (NetAddress.isLoopback(ip) || here.has(text))))
    )

  return ({ address, port }) => {
    const ip = parse(address)
    if (ip === undefined) return "not an address"
    const text = NetAddress.formatIp(ip)
    if (NetAddress.isLinkLocal(ip)) return `${text} is link-local, where hosts keep their secrets`
    if (metadata.some((net) => IpNetwork.contains(net, ip))) return `${text} is a metadata address`
    if (isOwn(ip, text, port)) return `${text} port ${port} is this proxy itself`
    if (NetAddress.isLoopback(ip) && !loopback) {
      return `${text} is loopback: a shared table may have it only when EDGEPROXY_BACKEND_ALLOW_CIDRS lists it explicitly`
    }
    if (!allowed.some((net) => IpNetwork.contains(net, ip))) {
      return `${text} is in none of the networks of EDGEPROXY_BACKEND_ALLOW_CIDRS`
    }
    return undefined
  }
}
