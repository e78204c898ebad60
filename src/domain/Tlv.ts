/** One of the values that may follow the addresses in a PROXY header of version 2 (2.2 of its specification). */
export interface Tlv {
  readonly type: number
  readonly value: Uint8Array
}

export const ALPN = 0x01
/** The host name that the client asked for, such as the server name of TLS (SNI). */
export const AUTHORITY = 0x02
export const CRC32C = 0x03
export const NOOP = 0x04
/** Names the connection across all proxies that it passes. */
export const UNIQUE_ID = 0x05
/** What is known of the client's TLS, with values of its own inside. */
export const SSL = 0x20

/** Of the range for applications, 0xE0 to 0xEF: what edgeProxy tells its backends, as text. */
export const COUNTRY = 0xe0
export const REGION = 0xe1
export const POP = 0xe2
export const CONNECTION = 0xe3

/** Of the values that come with a client those that its backend is to know too. */
const passedOn: ReadonlySet<number> = new Set([ALPN, AUTHORITY, UNIQUE_ID, SSL])

/** These in memory of their own: what they lie in may be kilobytes, and a connection may last for days. */
export const copyPassedOn = (tlvs: ReadonlyArray<Tlv>): ReadonlyArray<Tlv> =>
  tlvs.filter(({ type }) => passedOn.has(type)).map(({ type, value }) => ({ type, value: new Uint8Array(value) }))

const MAX_UNIQUE_ID = 128

/** Type, and length in two bytes. */
export const TLV_HEADER = 3

/** Flags and the result of the verification come before the values in an {@link SSL}. */
const SSL_HEADER = 5

/** All from `from` to `until`; undefined when their lengths do not add up. */
export const readTlvs = (bytes: Uint8Array, from: number, until: number): ReadonlyArray<Tlv> | undefined => {
  const tlvs: Array<Tlv> = []
  for (let at = from; at < until;) {
    const valueAt = at + TLV_HEADER
    const end = valueAt + (((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0))
    if (valueAt > until || end > until) return undefined
    const tlv: Tlv = { type: bytes[at] ?? 0, value: bytes.subarray(valueAt, end) }
    if (!isSound(tlv)) return undefined
    tlvs.push(tlv)
    at = end
  }
  return tlvs
}

const isSound = ({ type, value }: Tlv): boolean => {
  switch (type) {
    case CRC32C:
      return value.length === 4
    case UNIQUE_ID:
      return value.length <= MAX_UNIQUE_ID
    case SSL:
      return value.length >= SSL_HEADER && readTlvs(value, SSL_HEADER, value.length) !== undefined
    default:
      return true
  }
}

export const sizeOf = (tlvs: ReadonlyArray<Tlv>): number =>
  tlvs.reduce((size, { value }) => size + TLV_HEADER + value.length, 0)

/** Writes them one after the other; returns where they end. */
export const writeTlvs = (tlvs: ReadonlyArray<Tlv>, bytes: Uint8Array, from: number): number => {
  let at = from
  for (const { type, value } of tlvs) {
    bytes[at] = type
    bytes[at + 1] = value.length >>> 8
    bytes[at + 2] = value.length & 255
    bytes.set(value, at + TLV_HEADER)
    at += TLV_HEADER + value.length
  }
  return at
}
