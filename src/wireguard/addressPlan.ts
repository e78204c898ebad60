import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"

/**
 * The address plan of the overlay: `network : region : host`. In 10.50.0.0/16 host 3 of region 2 is 10.50.2.3, in a /48 it is
 * `prefix:2:3::1`. Region 0 is that of the POPs.
 */
export interface Plan {
  readonly network: IpNetwork.IpNetwork
  /** The address of a host; undefined when the network has no place for these numbers. */
  readonly addressOf: (region: number, host: number) => NetAddress.IpAddress | undefined
  /** All addresses of a region; undefined as above. */
  readonly blockOf: (region: number) => IpNetwork.IpNetwork | undefined
}

/** Whether an address of either family lies in a network of either. */
export const isIn = (network: IpNetwork.IpNetwork, ip: NetAddress.IpAddress): boolean =>
  NetAddress.width(ip) === NetAddress.width(network.address) && IpNetwork.contains(network, ip)

const REGION_V4 = 24
const REGION_V6 = 64
/** Bits of the region's part. */
const V6_SEGMENT = 16
const MAX_HOST_V4 = 254

const planV4 = (network: IpNetwork.Ipv4Network): Plan => {
  const [a, b, c, d] = NetAddress.ipv4ToOctets(network.address)
  const base = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d
  const at = (region: number, host: number): NetAddress.IpAddress | undefined => {
    const value = base + region * 2 ** 8 + host
    const address = Result.getOrUndefined(
      NetAddress.ipv4FromOctets([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])
    )
    return address !== undefined && IpNetwork.contains(network, address) ? address : undefined
  }
  return {
    network,
    addressOf: (region, host) => (host > MAX_HOST_V4 ? undefined : at(region, host)),
    blockOf: (region) => {
      const address = at(region, 0)
      return address === undefined ? undefined : Result.getOrUndefined(IpNetwork.make(address, REGION_V4))
    }
  }
}

const planV6 = (network: IpNetwork.Ipv6Network): Plan => {
  const [a, b, c] = NetAddress.ipv6ToSegments(network.address)
  const at = (region: number, host: number, last: number) =>
    Result.getOrUndefined(NetAddress.ipv6FromSegments([a, b, c, region, host, 0, 0, last]))
  return {
    network,
    addressOf: (region, host) => at(region, host, 1),
    blockOf: (region) => {
      const address = at(region, 0, 0)
      return address === undefined ? undefined : Result.getOrUndefined(IpNetwork.make(address, REGION_V6))
    }
  }
}

/** A plan over a network, or what is expected of one. Link-local, multicast and public networks are nobody's overlay. */
export const planOf = (text: string, family: 4 | 6): Result.Result<Plan, string> => {
  const parsed = Result.getOrUndefined(IpNetwork.fromString(text))
  if (family === 4) {
    const expected = "a private IPv4 network of 16 bits or fewer, such as 10.50.0.0/16, or off"
    if (parsed === undefined || !IpNetwork.isIpv4Network(parsed)) return Result.fail(expected)
    const isPrivate = NetAddress.isPrivate(parsed.address) || inSharedSpace(parsed)
    return isPrivate && parsed.prefixLength >= 8 && parsed.prefixLength <= REGION_V4 - 8
      ? Result.succeed(planV4(parsed))
      : Result.fail(expected)
  }
  const expected = "a unique local IPv6 network of 48 bits (RFC 4193), such as fd00:ed9e::/48, or off"
  if (parsed === undefined || !IpNetwork.isIpv6Network(parsed)) return Result.fail(expected)
  return NetAddress.isUniqueLocal(parsed.address) && parsed.prefixLength === REGION_V6 - V6_SEGMENT
    ? Result.succeed(planV6(parsed))
    : Result.fail(expected)
}

const shared = IpNetwork.fromStringUnsafe("100.64.0.0/10")
const inSharedSpace = (network: IpNetwork.Ipv4Network): boolean => IpNetwork.containsNetwork(shared, network)
