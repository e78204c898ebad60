import { clientFromText } from "../domain/Client.ts"
import type { Ends, SocketAddress } from "../domain/ProxyProtocol.ts"
import { encodeV1 } from "../domain/ProxyProtocolV1.ts"
import { encodeV2 } from "../domain/ProxyProtocolV2.ts"
import { ALPN, AUTHORITY, CONNECTION, COUNTRY, POP, REGION, sizeOf, type Tlv, UNIQUE_ID } from "../domain/Tlv.ts"
import { sslTlv } from "../domain/SslTlv.ts"
import { connectionName } from "./accessEntry.ts"
import type { ConnectionRecord } from "./Connections.ts"
import { type Endpoint, MAX_PRELUDE, type Secured } from "./Transport.ts"

export type ProxyOut = "off" | "v1" | "v2"

/** What backends are told of a client ahead of its bytes; undefined when they are told nothing. */
export type ProxyHeaderOut = ((record: ConnectionRecord) => Uint8Array) | undefined

const encoder = new TextEncoder()

const text = (type: number, value: string | undefined): ReadonlyArray<Tlv> =>
  value === undefined ? [] : [{ type, value: encoder.encode(value) }]

/** A header with all that an announcement may hold has to fit; what is left is for the addresses and our own values. */
const MAX_PASSED_ON = MAX_PRELUDE - 1_024

const socketAddress = ({ address, port }: Endpoint): SocketAddress | undefined => {
  const known = clientFromText(address)
  return known && { ip: known.ip, port }
}

/** From the client to the address it has connected to, here or at the proxy that announced it. */
const endsOf = ({ announced, client, clientPort, local }: ConnectionRecord): Ends => {
  const source = { ip: client.ip, port: clientPort }
  const here = local === undefined ? undefined : socketAddress(local)
  return { source, destination: announced?.destination ?? here ?? source }
}

/** Of the TLS that was ended here: it is the client's, whatever a peer says of another. */
const ownTls = (secured: Secured | undefined): ReadonlyArray<Tlv> =>
  secured === undefined
    ? []
    : [...text(ALPN, secured.protocol), sslTlv({ version: secured.version, subject: secured.peer })]

const tlvsOf = ({ announced, geo, secured, sni }: ConnectionRecord, conn: string): ReadonlyArray<Tlv> => {
  const own = [...text(AUTHORITY, sni), ...ownTls(secured)]
  const replaced = new Set(own.map(({ type }) => type))
  if (secured !== undefined) replaced.add(ALPN)
  const kept = (announced?.tlvs ?? []).filter(({ type }) => !replaced.has(type))
  const brought = sizeOf(kept) > MAX_PASSED_ON ? kept.filter(({ type }) => type === UNIQUE_ID) : kept
  const named = brought.some(({ type }) => type === UNIQUE_ID)
  return [
    ...brought,
    ...own,
    ...(named ? [] : text(UNIQUE_ID, conn)),
    ...text(COUNTRY, geo.country),
    ...text(REGION, geo.region)
  ]
}

/** `bootId` as in the names of connections. */
export const make = (version: ProxyOut, pop: string, bootId: string): ProxyHeaderOut => {
  switch (version) {
    case "off":
      return undefined
    case "v1":
      return (record) => encodeV1(endsOf(record))
    case "v2": {
      const here = text(POP, pop)
      return (record) => {
        const conn = connectionName(bootId, record.id)
        return encodeV2(endsOf(record), [...tlvsOf(record, conn), ...here, ...text(CONNECTION, conn)])
      }
    }
  }
}
