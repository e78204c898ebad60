import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import { combine } from "./Hash.ts"

/**
 * Whom limits and affinity treat as one client (A1): an IPv4 address, or the /64 of an IPv6 address, because one IPv6
 * subscriber owns a whole /64. The two words hold it exactly, so a table can key on numbers.
 */
export interface ClientKey {
  readonly family: 4 | 6
  /** First 32 bits of the /64; 0 for IPv4. */
  readonly hi: number
  /** The IPv4 address, or the second 32 bits of the /64. */
  readonly lo: number
}

/** A client as the proxy sees it after normalisation. */
export interface Client {
  /** Canonical text: IPv4-mapped IPv6 is IPv4, IPv6 is compressed (RFC 5952), no zone. */
  readonly address: string
  readonly ip: NetAddress.IpAddress
  readonly key: ClientKey
}

const word = (hi: number, lo: number): number => ((hi << 16) | lo) >>> 0

const keyOf = (ip: NetAddress.IpAddress): ClientKey => {
  if (NetAddress.isIpv4Address(ip)) {
    const [a, b, c, d] = NetAddress.ipv4ToOctets(ip)
    return { family: 4, hi: 0, lo: word((a << 8) | b, (c << 8) | d) }
  }
  const [a, b, c, d] = NetAddress.ipv6ToSegments(ip)
  return { family: 6, hi: word(a, b), lo: word(c, d) }
}

const octets = new Uint8Array(4)

/** Fills `octets` from canonical dotted text; false when it is anything else. */
const readOctets = (text: string): boolean => {
  let count = 0
  let value = -1
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit === -2) {
      if (value < 0 || count === 3) return false
      octets[count++] = value
      value = -1
    } else {
      // No digit, or one after a leading zero.
      if (digit < 0 || digit > 9 || value === 0) return false
      value = value < 0 ? digit : value * 10 + digit
      if (value > 255) return false
    }
  }
  if (value < 0 || count !== 3) return false
  octets[3] = value
  return true
}

/** Reads a peer's address as the operating system prints it; undefined when it is not an IP address. */
export const clientFromText = (text: string): Client | undefined => {
  // Nearly every client comes this way, and each connection is read once.
  if (readOctets(text)) {
    const [a = 0, b = 0, c = 0, d = 0] = octets
    const key: ClientKey = { family: 4, hi: 0, lo: word((a << 8) | b, (c << 8) | d) }
    return { address: text, ip: NetAddress.ipv4FromBytesUnsafe(octets), key }
  }
  const zone = text.indexOf("%")
  const parsed = NetAddress.ipFromString(zone < 0 ? text : text.slice(0, zone))
  if (Result.isFailure(parsed)) return undefined
  return clientFromIp(parsed.success)
}

export const clientFromIp = (address: NetAddress.IpAddress): Client => {
  const ip = NetAddress.toCanonical(address)
  return { address: NetAddress.formatIp(ip), ip, key: keyOf(ip) }
}

/**
 * The key's first word in tables that have no room for its family. For IPv4 it is one that would be multicast in an IPv6
 * address, where no client is.
 */
export const firstWord = ({ family, hi }: ClientKey): number => (family === 4 ? 0xffffffff : hi)

/** The key as people write it: `203.0.113.7` or `2001:db8:1:2::/64`. */
export const formatClientKey = (key: ClientKey): string => {
  if (key.family === 4) return [key.lo >>> 24, (key.lo >>> 16) & 255, (key.lo >>> 8) & 255, key.lo & 255].join(".")
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, key.hi)
  view.setUint32(4, key.lo)
  return `${NetAddress.formatIp(NetAddress.ipv6FromBytesUnsafe(bytes))}/64`
}

/** One number per client key and app (the affinity key, A1), equal at every POP. */
export const affinityHash = (key: ClientKey, appHash: number): number =>
  combine(combine(combine(appHash, key.family), key.hi), key.lo)
