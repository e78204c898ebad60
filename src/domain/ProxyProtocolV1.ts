import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import type { BadHeader, Ends, ProxyHeader, SocketAddress } from "./ProxyProtocol.ts"

const encoder = new TextEncoder()

export const SIGNATURE_V1: Uint8Array = encoder.encode("PROXY ")

/** The longest line, its end included (2.1). */
const MAX_LINE = 107

const CR = 0x0d
const LF = 0x0a

/** Undefined while the line has not ended. */
export const parseV1 = (bytes: Uint8Array): ProxyHeader | BadHeader | undefined => {
  const end = bytes.subarray(0, MAX_LINE).indexOf(LF)
  if (end < 0) return bytes.length < MAX_LINE ? undefined : "line"
  if (bytes[end - 1] !== CR) return "line"
  const line = String.fromCharCode(...bytes.subarray(SIGNATURE_V1.length, end - 1))
  const [family, ...fields] = line.split(" ")
  const length = end + 1
  // Whatever else it says is to be ignored.
  if (family === "UNKNOWN") return { version: 1, length, ends: undefined, tlvs: [] }
  if ((family !== "TCP4" && family !== "TCP6") || fields.length !== 4) return "line"
  const [from = "", to = "", fromPort = "", toPort = ""] = fields
  const source = socketAddress(from, fromPort, family)
  const destination = socketAddress(to, toPort, family)
  if (source === undefined || destination === undefined) return "line"
  return { version: 1, length, ends: { source, destination }, tlvs: [] }
}

const decimal = /^(0|[1-9]\d{0,4})$/

const socketAddress = (address: string, port: string, family: "TCP4" | "TCP6"): SocketAddress | undefined => {
  const number = decimal.test(port) ? Number(port) : Infinity
  const ip = NetAddress.ipFromString(address)
  if (number > 65_535 || Result.isFailure(ip)) return undefined
  if (NetAddress.isIpv4Address(ip.success) !== (family === "TCP4")) return undefined
  return { ip: NetAddress.toCanonical(ip.success), port: number }
}

/** IPv4 stays so in company of IPv4 only: a line has one family. */
export const encodeV1 = ({ destination, source }: Ends): Uint8Array => {
  const four = NetAddress.isIpv4Address(source.ip) && NetAddress.isIpv4Address(destination.ip)
  const text = ({ ip }: SocketAddress): string => {
    const plain = NetAddress.formatIp(ip)
    return four || !NetAddress.isIpv4Address(ip) ? plain : `::ffff:${plain}`
  }
  const family = four ? "TCP4" : "TCP6"
  return encoder.encode(`PROXY ${family} ${text(source)} ${text(destination)} ${source.port} ${destination.port}\r\n`)
}
