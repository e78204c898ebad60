import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import { type Country, countryFromText, type Region, regions } from "../domain/Region.ts"
import { codec, type Codec, list, pair } from "./Codec.ts"
import { literals } from "./scalars.ts"
import { name } from "./texts.ts"

/** Where to listen: an address literal and a port, 0 for any free one. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** A listener, and the only app it serves, if it is bound to one (R8). */
export interface ListenAddress extends Endpoint {
  readonly app: string | undefined
}

// Which link is meant would have to be said by a zone (`%eth0`), whose name is only good on this host.
const isOfOneLink = ({ address }: NetAddress.InetAddress): boolean =>
  NetAddress.isIpv6Address(address) && NetAddress.isLinkLocal(address)

/** `IPv4:port` or `[IPv6]:port`. */
export const endpoint: Codec<Endpoint> = codec(
  "IPv4:port or [IPv6]:port, port from 0 to 65535, not link-local",
  (text) => {
    const inet = Result.getOrUndefined(NetAddress.inetAddressFromString(text.trim()))
    return inet === undefined || isOfOneLink(inet)
      ? undefined
      : { address: NetAddress.formatHost(inet), port: inet.port }
  },
  ({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)
)

/** Name servers, in the order in which they are asked. */
export const resolvers: Codec<ReadonlyArray<Endpoint>> = list(endpoint, {
  allowed: "IPv4:port or [IPv6]:port with commas between",
  key: endpoint.encode
})

const boundListener = pair(endpoint, name)

const listenAddress: Codec<ListenAddress> = codec(
  "listener",
  (text) => {
    if (!text.includes("=")) {
      const free = Result.getOrUndefined(endpoint.decode(text))
      return free === undefined ? undefined : { ...free, app: undefined }
    }
    const bound = Result.getOrUndefined(boundListener.decode(text))
    return bound === undefined ? undefined : { ...bound[0], app: bound[1] }
  },
  (value) => (value.app === undefined ? endpoint.encode(value) : boundListener.encode([value, value.app]))
)

/** One or more listeners, each with or without an app of its own. */
export const listenAddresses: Codec<ReadonlyArray<ListenAddress>> = list(listenAddress, {
  allowed: "IPv4:port or [IPv6]:port with commas between, port from 0 to 65535, not link-local, =app may follow",
  nonEmpty: true
})

/** A network in CIDR notation; an address alone is the network of just that one. */
const network: Codec<IpNetwork.IpNetwork> = codec(
  "network",
  (text) =>
    Result.getOrUndefined(
      text.includes("/")
        ? IpNetwork.fromString(text)
        : Result.flatMap(NetAddress.ipFromString(text), (ip) => IpNetwork.make(ip, NetAddress.width(ip)))
    ),
  IpNetwork.format
)

export const networks: Codec<ReadonlyArray<IpNetwork.IpNetwork>> = list(network, {
  allowed: "networks with commas between, such as 10.0.0.0/8,2001:db8::/32"
})

const country: Codec<Country> = codec("country", countryFromText)

export const countryList: Codec<ReadonlyArray<Country>> = list(country, {
  allowed: "ISO 3166 country codes with commas between, such as BR,DE"
})

/** The country of every address in a network, whatever the geo database says. */
export type GeoOverride = readonly [network: IpNetwork.IpNetwork, country: Country]

export const geoOverrides: Codec<ReadonlyArray<GeoOverride>> = list(pair(network, country), {
  allowed: "network=country with commas between, such as 10.9.0.0/16=DE,2001:db8::/32=BR",
  key: ([network]) => IpNetwork.format(network)
})

/** The public addresses of the points of presence in a region. */
type RegionPops = readonly [region: Region, addresses: ReadonlyArray<NetAddress.IpAddress>]

const address: Codec<NetAddress.IpAddress> = codec(
  "address",
  (text) => Result.getOrUndefined(NetAddress.ipFromString(text)),
  NetAddress.formatIp
)

const addresses = list(address, { allowed: "addresses", separator: "|", key: NetAddress.formatIp, nonEmpty: true })

export const pops: Codec<ReadonlyArray<RegionPops>> = list(pair(literals(regions), addresses), {
  allowed: "region=address|address with commas between, such as sa=203.0.113.1|2001:db8::1,us=198.51.100.1",
  key: ([region]) => region
})
