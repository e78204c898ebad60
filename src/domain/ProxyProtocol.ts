import type * as NetAddress from "effect/net/NetAddress"
import { parseV1, SIGNATURE_V1 } from "./ProxyProtocolV1.ts"
import { parseV2, SIGNATURE_V2 } from "./ProxyProtocolV2.ts"
import type { Tlv } from "./Tlv.ts"

/**
 * The PROXY protocol, versions 1 and 2: a header in front of a connection in which a proxy tells for whom it has opened it.
 * Numbers in comments are sections of its specification, proxy-protocol.txt of HAProxy.
 */

export interface SocketAddress {
  readonly ip: NetAddress.IpAddress
  readonly port: number
}

/** The ends of a connection as the one who accepted it from the client has seen them; IPv4-mapped addresses are IPv4. */
export interface Ends {
  readonly source: SocketAddress
  readonly destination: SocketAddress
}

export interface ProxyHeader {
  readonly version: 1 | 2
  /** Bytes it takes; what follows is the client's. */
  readonly length: number
  /**
   * Undefined when the connection's own ends are meant: the sender has opened it for itself (LOCAL), can't tell for whom
   * (UNKNOWN, UNSPEC), or for somebody without an Internet address or TCP (UNIX sockets, datagrams).
   */
  readonly ends: Ends | undefined
  readonly tlvs: ReadonlyArray<Tlv>
}

/** Why a header is refused. */
export type BadHeader =
  /** Version 1: not the line that 2.1 asks for, or it does not end within its longest form. */
  | "line"
  | "version"
  | "command"
  | "family"
  /** Shorter than its addresses. */
  | "length"
  /** Lengths of its values that do not add up, or a value that is too long or too short. */
  | "tlv"
  | "checksum"
  /** Longer than 16 kB. */
  | "too-long"
  /** The sender has finished before it was complete. */
  | "cut"

export type Parsed =
  | { readonly _tag: "More" }
  /** The first bytes begin no header. */
  | { readonly _tag: "None" }
  | { readonly _tag: "Header"; readonly header: ProxyHeader }
  | { readonly _tag: "Malformed"; readonly reason: BadHeader }

/** Both begin alike, as far as the shorter one goes. */
const agree = (bytes: Uint8Array, signature: Uint8Array): boolean => {
  for (let at = Math.min(bytes.length, signature.length) - 1; at >= 0; at--) {
    if (bytes[at] !== signature[at]) return false
  }
  return true
}

/** The bytes begin a header, and not only what could become one: they can't be anything else any more. */
export const isHeader = (bytes: Uint8Array): boolean =>
  (bytes.length >= SIGNATURE_V1.length && agree(bytes, SIGNATURE_V1)) ||
  (bytes.length >= SIGNATURE_V2.length && agree(bytes, SIGNATURE_V2))

/** Reads the first bytes of a connection, as many as have come. `finished` when no more will come. */
export const parse = (bytes: Uint8Array, finished = false): Parsed => {
  const one = agree(bytes, SIGNATURE_V1)
  if (!one && !agree(bytes, SIGNATURE_V2)) return { _tag: "None" }
  const parsed: ProxyHeader | BadHeader | undefined = isHeader(bytes)
    ? one
      ? parseV1(bytes)
      : parseV2(bytes)
    : undefined
  if (typeof parsed === "string") return { _tag: "Malformed", reason: parsed }
  if (parsed !== undefined) return { _tag: "Header", header: parsed }
  if (!finished) return { _tag: "More" }
  return isHeader(bytes) ? { _tag: "Malformed", reason: "cut" } : { _tag: "None" }
}
