import { sizeOf, SSL, type Tlv, writeTlvs } from "./Tlv.ts"

/** Of a client whose TLS has been ended here. */
export interface ClientTls {
  /** `TLSv1.3`. */
  readonly version: string
  /** The subject of the certificate it has shown, which was verified; one attribute a line, RFC 2253 within. */
  readonly subject: string | undefined
}

/** Bits of the first byte (2.2.6 of the specification of the PROXY protocol). */
const CLIENT_SSL = 1
const CLIENT_CERT_CONN = 2
const CLIENT_CERT_SESS = 4

const SUBTYPE_VERSION = 0x21
const SUBTYPE_CN = 0x22

/** The flags, and four bytes that are zero for a certificate that was verified. */
const HEADER = 5

const MAX_NAME_BYTES = 256

const encoder = new TextEncoder()

/** The first common name; none that would have to be unescaped. */
const commonNameOf = (subject: string): string | undefined => {
  const found = /^(?:[^\n]* \+ )?CN=([^\\\n]+?)(?: \+ [^\n]*)?$/m.exec(subject)?.[1]
  return found === undefined || encoder.encode(found).length > MAX_NAME_BYTES ? undefined : found
}

/** What backends are told of a client's TLS: that there is one, its version, and whose certificate was verified. */
export const sslTlv = ({ subject, version }: ClientTls): Tlv => {
  const name = subject === undefined ? undefined : commonNameOf(subject)
  const inside: ReadonlyArray<Tlv> = [
    { type: SUBTYPE_VERSION, value: encoder.encode(version) },
    ...(name === undefined ? [] : [{ type: SUBTYPE_CN, value: encoder.encode(name) }])
  ]
  const value = new Uint8Array(HEADER + sizeOf(inside))
  value[0] = CLIENT_SSL | (subject === undefined ? 0 : CLIENT_CERT_CONN | CLIENT_CERT_SESS)
  value[HEADER - 1] = subject === undefined ? 1 : 0
  writeTlvs(inside, value, HEADER)
  return { type: SSL, value }
}
