import * as NetAddress from "effect/net/NetAddress"
import { type Client, clientFromText } from "../domain/Client.ts"

/** For which network a resolver asks (RFC 7871). */
export interface ClientSubnet {
  /** 1 is IPv4, 2 is IPv6; 0 goes with a prefix of 0 only: "for nobody in particular". */
  readonly family: number
  readonly sourcePrefix: number
  /** As many bytes as the prefix covers. */
  readonly address: Uint8Array
}

const bytesOf: Readonly<Record<number, number>> = { 0: 0, 1: 4, 2: 16 }

/** Reads the option's data; undefined when it breaks the rules of section 6, which is a format error. */
export const readSubnet = (data: Uint8Array): ClientSubnet | undefined => {
  const [high = 0, low = 0, sourcePrefix = 0, scopePrefix = 0] = data
  const family = (high << 8) | low
  const width = bytesOf[family]
  if (data.length < 4 || width === undefined || scopePrefix !== 0 || sourcePrefix > width * 8) return undefined
  const address = data.slice(4)
  if (address.length !== Math.ceil(sourcePrefix / 8)) return undefined
  const last = address.at(-1) ?? 0
  const spare = address.length * 8 - sourcePrefix
  return (last & ((1 << spare) - 1)) === 0 ? { family, sourcePrefix, address } : undefined
}

/** The first address of the network, as whose the answer is chosen; undefined when none is given. */
export const clientOf = ({ address, family, sourcePrefix }: ClientSubnet): Client | undefined => {
  if (sourcePrefix === 0) return undefined
  const full = new Uint8Array(bytesOf[family] ?? 0)
  full.set(address)
  const ip = family === 1 ? NetAddress.ipv4FromBytesUnsafe(full) : NetAddress.ipv6FromBytesUnsafe(full)
  return clientFromText(NetAddress.formatIp(ip))
}
