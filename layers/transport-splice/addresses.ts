import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { AF_INET, AF_INET6 } from "./linux.ts"
import { ADDRESS_WORDS, type AddressWords } from "./sockaddr.ts"

const cache = new Map<string, AddressWords | undefined>()
const CACHED = 16_384

/** Undefined when the text is no address, or its zone no interface. */
export const fromEndpoint = (
  { address, port }: Endpoint,
  scopeOf: (zone: string) => number
): AddressWords | undefined => {
  const known = cache.get(address)
  const parsed = known ?? parse(address, scopeOf)
  if (parsed === undefined) return undefined
  // A zone's number may change, so that it is asked for each time.
  if (known === undefined && parsed[1] === 0) {
    if (cache.size >= CACHED) cache.clear()
    cache.set(address, parsed)
  }
  const words = new Int32Array(parsed)
  words[0] = (parsed[0] ?? 0) | (port << 16)
  return words
}

const parse = (text: string, scopeOf: (zone: string) => number): AddressWords | undefined => {
  const at = text.indexOf("%")
  const parsed = NetAddress.ipFromString(at < 0 ? text : text.slice(0, at))
  if (Result.isFailure(parsed)) return undefined
  const words = new Int32Array(ADDRESS_WORDS)
  const bytes = new Uint8Array(words.buffer, 8)
  if (NetAddress.isIpv4Address(parsed.success)) {
    words[0] = AF_INET
    bytes.set(NetAddress.ipv4ToOctets(parsed.success))
    return words
  }
  words[0] = AF_INET6
  bytes.set(NetAddress.ipv6ToOctets(parsed.success))
  if (at >= 0) {
    words[1] = scopeOf(text.slice(at + 1))
    if (words[1] === 0) return undefined
  }
  return words
}

/** Reads an address out of a message's words, from `at` on; as Node writes it. */
export const toEndpoint = (words: Int32Array, at: number): Endpoint => {
  const family = (words[at] ?? 0) & 0xffff
  const port = (words[at] ?? 0) >>> 16
  const first = words[at + 2] ?? 0
  if (family === AF_INET) return { address: ipv4Text(first), port }
  const last = words[at + 5] ?? 0
  if (first === 0 && words[at + 3] === 0 && words[at + 4] === MAPPED)
    return { address: `::ffff:${ipv4Text(last)}`, port }
  const bytes = new Uint8Array(16)
  new Int32Array(bytes.buffer).set(words.subarray(at + 2, at + 6))
  return { address: NetAddress.formatIp(NetAddress.ipv6FromBytesUnsafe(bytes)), port }
}

// ::ffff:0:0/96 (RFC 4291) as the third word of an address is read on a little-endian machine.
const MAPPED = -65_536

const ipv4Text = (word: number): string => `${word & 255}.${(word >>> 8) & 255}.${(word >>> 16) & 255}.${word >>> 24}`
