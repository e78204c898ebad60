import * as NetAddress from "effect/net/NetAddress"
import { crc32c } from "./Crc32c.ts"
import type { BadHeader, Ends, ProxyHeader, SocketAddress } from "./ProxyProtocol.ts"
import { CRC32C, readTlvs, sizeOf, TLV_HEADER, type Tlv, writeTlvs } from "./Tlv.ts"

export const SIGNATURE_V2: Uint8Array = Uint8Array.of(
  0x0d,
  0x0a,
  0x0d,
  0x0a,
  0x00,
  0x0d,
  0x0a,
  0x51,
  0x55,
  0x49,
  0x54,
  0x0a
)

/** Signature, version and command, family and protocol, length of the rest. */
const FIXED = 16

const VERSION = 2
const LOCAL = 0
const PROXY = 1

const UNSPEC = 0
const INET = 1
const INET6 = 2
const UNIX = 3
const STREAM = 1
const DGRAM = 2

/** Bytes of both addresses and ports, by family. */
const ADDRESSES: Readonly<Record<number, number>> = { [INET]: 12, [INET6]: 36, [UNIX]: 216 }

/** Most bytes a header may take: two bytes could say four times as many, headers in use take some hundred. */
const MAX_HEADER = 16_384

const word = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)

/** Undefined while it is incomplete. What of it can't be is told as soon as it shows. */
export const parseV2 = (bytes: Uint8Array): ProxyHeader | BadHeader | undefined => {
  if (bytes.length < FIXED) {
    if (bytes.length > SIGNATURE_V2.length && (bytes[12] ?? 0) >>> 4 !== VERSION) return "version"
    return undefined
  }
  const command = (bytes[12] ?? 0) & 15
  const family = (bytes[13] ?? 0) >>> 4
  const protocol = (bytes[13] ?? 0) & 15
  const length = FIXED + word(bytes, 14)
  if ((bytes[12] ?? 0) >>> 4 !== VERSION) return "version"
  if (command !== LOCAL && command !== PROXY) return "command"
  if (length > MAX_HEADER) return "too-long"
  const nobody: ProxyHeader = { version: 2, length, ends: undefined, tlvs: [] }
  if (command === LOCAL) return bytes.length < length ? undefined : nobody
  if (family > UNIX || protocol > DGRAM) return "family"
  const addresses = ADDRESSES[family]
  if (addresses !== undefined && FIXED + addresses > length) return "length"
  if (bytes.length < length) return undefined
  // Nobody knows how long the addresses of an unknown family are, if there are any.
  if (addresses === undefined || protocol === UNSPEC) return nobody

  const tlvs = readTlvs(bytes, FIXED + addresses, length)
  if (tlvs === undefined) return "tlv"
  if (!isChecked(bytes.subarray(0, length), tlvs)) return "checksum"
  const ends = protocol === STREAM && family !== UNIX ? endsOf(bytes, (addresses - 4) / 2) : undefined
  return { ...nobody, ends, tlvs }
}

/** A checksum that is there has to be right (2.2.3). */
const isChecked = (header: Uint8Array, tlvs: ReadonlyArray<Tlv>): boolean =>
  tlvs.every(({ type, value }) => {
    if (type !== CRC32C) return true
    const sum = ((word(value, 0) << 16) | word(value, 2)) >>> 0
    return sum === crc32c(header, value.byteOffset - header.byteOffset)
  })

const endsOf = (bytes: Uint8Array, width: number): Ends => {
  const ports = FIXED + 2 * width
  const at = (from: number, port: number): SocketAddress => ({
    ip: ipOf(bytes.subarray(from, from + width)),
    port: word(bytes, port)
  })
  return { source: at(FIXED, ports), destination: at(FIXED + width, ports + 2) }
}

const ipOf = (bytes: Uint8Array): NetAddress.IpAddress =>
  bytes.length === 4
    ? NetAddress.ipv4FromBytesUnsafe(bytes)
    : NetAddress.toCanonical(NetAddress.ipv6FromBytesUnsafe(bytes))

/** For a connection of the proxy's own: the receiver is to take it as it is. */
export const localHeader: Uint8Array = Uint8Array.of(...SIGNATURE_V2, (VERSION << 4) | LOCAL, 0, 0, 0)

/** With a checksum behind the other values. IPv4 stays so in company of IPv4 only: a header has one family. */
export const encodeV2 = ({ destination, source }: Ends, tlvs: ReadonlyArray<Tlv>): Uint8Array => {
  const family = NetAddress.isIpv4Address(source.ip) && NetAddress.isIpv4Address(destination.ip) ? INET : INET6
  const addresses = ADDRESSES[family] ?? 0
  const width = (addresses - 4) / 2
  const bytes = new Uint8Array(FIXED + addresses + sizeOf(tlvs) + TLV_HEADER + 4)
  bytes.set(SIGNATURE_V2)
  bytes[12] = (VERSION << 4) | PROXY
  bytes[13] = (family << 4) | STREAM
  writeWord(bytes, 14, bytes.length - FIXED)
  writeIp(source.ip, bytes, FIXED, width)
  writeIp(destination.ip, bytes, FIXED + width, width)
  writeWord(bytes, FIXED + 2 * width, source.port)
  writeWord(bytes, FIXED + 2 * width + 2, destination.port)
  const checksum = { type: CRC32C, value: new Uint8Array(4) }
  const end = writeTlvs([...tlvs, checksum], bytes, FIXED + addresses)
  const sum = crc32c(bytes)
  writeWord(bytes, end - 4, sum >>> 16)
  writeWord(bytes, end - 2, sum & 0xffff)
  return bytes
}

const writeWord = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 8
  bytes[at + 1] = value & 255
}

/** An IPv4 address in the place of an IPv6 one is IPv4-mapped (RFC 4291). */
const writeIp = (ip: NetAddress.IpAddress, bytes: Uint8Array, from: number, width: number): void => {
  if (!NetAddress.isIpv4Address(ip)) return bytes.set(NetAddress.ipv6ToOctets(ip), from)
  if (width > 4) bytes.fill(0xff, from + 10, from + 12)
  const octets = NetAddress.ipv4ToOctets(ip)
  for (let at = 0; at < 4; at++) bytes[from + width - 4 + at] = octets[at] ?? 0
}
