import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign
} from "node:crypto"
import { isIP } from "node:net"
import type { KeyPair } from "../../src/tls/ServerTls.ts"
import { bitString, boolean, type Der, integer, octetString, oid, sequence, set, tagged, time, utf8 } from "./der.ts"

export interface Issue {
  /** Common name of the subject. */
  readonly name: string
  /** DNS names and addresses it is good for. */
  readonly names: ReadonlyArray<string>
  /** Wall-clock milliseconds. */
  readonly notBefore: number
  readonly notAfter: number
  /** It may sign others. */
  readonly authority?: boolean
  /** Who signs it, by common name; itself when not given. */
  readonly issuer?: KeyPair & { readonly name: string }
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))

const nameOf = (commonName: string): Der => sequence(set(sequence(oid("2.5.4.3"), utf8(commonName))))

const extension = (id: string, critical: boolean, value: Der): Der =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value))

const wordsOf = (text: string): ReadonlyArray<string> => (text === "" ? [] : text.split(":"))

const addressBytes = (address: string): Buffer => {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number))
  const [head = "", tail] = address.split("::")
  const front = wordsOf(head)
  const back = tail === undefined ? [] : wordsOf(tail)
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0")
  return Buffer.from([...front, ...zeros, ...back].map((word) => word.padStart(4, "0")).join(""), "hex")
}

const alternative = (name: string): Der =>
  isIP(name) === 0 ? tagged(0x82, Buffer.from(name)) : tagged(0x87, addressBytes(name))

const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" })

const publicOf = (key: KeyObject): KeyObject => createPublicKey(key.export({ type: "pkcs8", format: "pem" }))

/** Names a key, so that chains can be put together (RFC 5280, 4.2.1.2). */
const keyId = (key: KeyObject): Buffer => createHash("sha256").update(spki(key)).digest().subarray(0, 20)

const extensionsOf = ({ authority = false, names }: Issue, own: KeyObject, issuer: KeyObject): Der =>
  sequence(
    extension("2.5.29.14", false, octetString(keyId(own))),
    extension("2.5.29.35", false, sequence(tagged(0x80, keyId(issuer)))),
    extension("2.5.29.19", true, sequence(...(authority ? [boolean(true)] : []))),
    // Digital signature; or signing of certificates.
    extension("2.5.29.15", true, authority ? bitString(Buffer.from([0x04]), 2) : bitString(Buffer.from([0x80]), 7)),
    ...(authority ? [] : [extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2")))]),
    ...(names.length === 0 ? [] : [extension("2.5.29.17", false, sequence(...names.map(alternative)))])
  )

const pem = (label: string, der: Uint8Array): string => {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n")
}

/** A certificate with a new key on the curve P-256 (RFC 5280), since Node can read certificates and not make them. */
export const issue = (what: Issue): KeyPair => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const signer = what.issuer === undefined ? privateKey : createPrivateKey(what.issuer.key)
  const serial = randomBytes(16)
  // Positive, and not shortened by leading zeros.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_SHA256,
    nameOf(what.issuer?.name ?? what.name),
    sequence(time(what.notBefore), time(what.notAfter)),
    nameOf(what.name),
    spki(publicKey),
    tagged(0xa3, extensionsOf(what, publicKey, publicOf(signer)))
  )
  const certificate = sequence(body, ECDSA_SHA256, bitString(sign("sha256", body, signer)))
  return { chain: pem("CERTIFICATE", certificate), key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() }
}
