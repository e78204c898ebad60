import { hostNameFromBytes, isAddress } from "./HostName.ts"

/** What a client says first of all when it wants TLS, as far as it matters for where it goes (RFC 8446, 4.1.2). */
export interface ClientHello {
  /** The name it asks for (SNI, RFC 6066), in lower case, without a final dot; an address counts as none. */
  readonly serverName: string | undefined
  /** The protocols it offers (ALPN, RFC 7301), best first, each byte as one character. */
  readonly protocols: ReadonlyArray<string>
  /** The TLS versions it offers, as on the wire: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3. */
  readonly versions: ReadonlyArray<number>
}

/** Why the bytes are no ClientHello. */
export type BadHello =
  /** The first byte is none of a TLS handshake: plain HTTP, most often. */
  | "not-tls"
  /** SSL 2.0, or the hello that SSL 2.0 clients sent to find out. */
  | "sslv2"
  /** A record that is empty, too long, or no handshake. */
  | "record"
  /** Another handshake message, or lengths in it that contradict each other. */
  | "handshake"
  /** An extension twice, or lengths in it that contradict each other. */
  | "extension"
  /** The server name is no host name. */
  | "server-name"
  /** Longer than {@link MAX_HELLO}. */
  | "too-long"
  /** The client has finished before it was complete. */
  | "cut"

export type Parsed =
  | { readonly _tag: "More" }
  | { readonly _tag: "Hello"; readonly hello: ClientHello }
  | { readonly _tag: "Malformed"; readonly reason: BadHello }

/** Most bytes that a hello may take, its records' headers included. Those with post-quantum keys take some 2,000. */
export const MAX_HELLO = 16_384

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const RECORD_HEADER = 5
const MESSAGE_HEADER = 4
const MAX_RECORD = 16_384

const SERVER_NAME = 0
const ALPN = 16
const SUPPORTED_VERSIONS = 43
const HOST_NAME = 0

const more: Parsed = { _tag: "More" }
const malformed = (reason: BadHello): Parsed => ({ _tag: "Malformed", reason })

const word = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)

/**
 * Reads the first bytes of a connection, as many as have come: `More` until the hello is complete, however it is cut into
 * records and packets. What can't become one is told at the first byte that shows it. `finished` when no more will come.
 */
export const parse = (bytes: Uint8Array, finished = false): Parsed => {
  const first = bytes[0]
  if (first !== undefined && first !== HANDSHAKE) {
    // A two-byte length with the top bit set, then the type of the message (RFC 5246, appendix E.2).
    if (first < 0x80) return malformed("not-tls")
    if (bytes.length > 2) return malformed(bytes[2] === CLIENT_HELLO ? "sslv2" : "not-tls")
  }
  // The minor version is whatever the client thinks is liked best (RFC 8446, appendix D.1).
  else if (bytes.length > 1 && bytes[1] !== 3) return malformed("not-tls")
  else {
    const message = messageOf(bytes)
    if (typeof message === "string") return malformed(message)
    if (message !== undefined) return helloOf(message)
  }
  return finished ? malformed("cut") : more
}

/** The body of the first handshake message, out of its records; undefined while it is incomplete. */
const messageOf = (bytes: Uint8Array): Uint8Array | BadHello | undefined => {
  const header = new Uint8Array(MESSAGE_HEADER)
  let length = Infinity
  let collected = 0
  let body: Uint8Array | undefined
  for (let at = 0; collected < length;) {
    if (at >= MAX_HELLO) return "too-long"
    if (bytes[at] !== undefined && bytes[at] !== HANDSHAKE) return "record"
    if (at > 0 && bytes[at + 1] !== undefined && bytes[at + 1] !== 3) return "record"
    if (bytes.length < at + RECORD_HEADER) return undefined
    const size = word(bytes, at + 3)
    if (size === 0 || size > MAX_RECORD) return "record"
    at += RECORD_HEADER
    const end = Math.min(bytes.length, at + size)
    for (; collected < MESSAGE_HEADER && at < end; collected++) header[collected] = bytes[at++] ?? 0
    if (collected > 0 && header[0] !== CLIENT_HELLO) return "handshake"
    if (collected < MESSAGE_HEADER) {
      if (end === bytes.length) return undefined
      continue
    }
    if (length === Infinity) {
      length = MESSAGE_HEADER + (((header[1] ?? 0) << 16) | word(header, 2))
      if (RECORD_HEADER + length > MAX_HELLO) return "too-long"
      // Nearly always all of it is in one record, and need not be copied.
      if (at + length - MESSAGE_HEADER <= end) return bytes.subarray(at, at + length - MESSAGE_HEADER)
      body = new Uint8Array(length - MESSAGE_HEADER)
    }
    const part = bytes.subarray(at, Math.min(end, at + length - collected))
    body?.set(part, collected - MESSAGE_HEADER)
    collected += part.length
    at += part.length
    if (collected < length && end === bytes.length) return undefined
  }
  return body
}

/** Where the bytes after a length of `width` bytes and so many bytes end; undefined when there are not as many. */
const skip = (bytes: Uint8Array, at: number, width: 1 | 2, until: number): number | undefined => {
  if (at + width > until) return undefined
  const end = at + width + (width === 1 ? (bytes[at] ?? 0) : word(bytes, at))
  return end > until ? undefined : end
}

const FIXED = 34

const helloOf = (body: Uint8Array): Parsed => {
  const bad = malformed("handshake")
  if (body.length < FIXED || body[0] !== 3) return bad
  const session = skip(body, FIXED, 1, body.length)
  if (session === undefined || session - FIXED - 1 > 32) return bad
  const ciphers = skip(body, session, 2, body.length)
  if (ciphers === undefined || ciphers - session < 4 || (ciphers - session) % 2 !== 0) return bad
  const compressions = skip(body, ciphers, 1, body.length)
  if (compressions === undefined || compressions - ciphers < 2) return bad
  const legacy = { serverName: undefined, protocols: [], versions: [word(body, 0)] }
  // TLS 1.2 clients may have no extensions at all.
  if (compressions === body.length) return { _tag: "Hello", hello: legacy }
  if (skip(body, compressions, 2, body.length) !== body.length) return bad
  return extensionsOf(body, compressions + 2, legacy)
}

const extensionsOf = (body: Uint8Array, from: number, legacy: ClientHello): Parsed => {
  let hello = legacy
  const seen = new Set<number>()
  for (let at = from; at < body.length;) {
    const end = skip(body, at + 2, 2, body.length)
    const type = word(body, at)
    if (end === undefined || seen.has(type)) return malformed("extension")
    seen.add(type)
    const data = body.subarray(at + 4, end)
    const read = readers[type]?.(data)
    if (typeof read === "string") return malformed(read)
    if (read !== undefined) hello = { ...hello, ...read }
    at = end
  }
  return { _tag: "Hello", hello }
}

type Reader = (data: Uint8Array) => Partial<ClientHello> | BadHello

const serverNameOf: Reader = (data) => {
  if (skip(data, 0, 2, data.length) !== data.length || data.length === 2) return "extension"
  let serverName: string | undefined
  let named = false
  for (let at = 2; at < data.length;) {
    const end = skip(data, at + 1, 2, data.length)
    if (end === undefined) return "extension"
    if (data[at] === HOST_NAME) {
      if (named) return "extension"
      named = true
      const name = data.subarray(at + 3, end)
      serverName = hostNameFromBytes(name)
      if (serverName === undefined && !isAddress(name)) return "server-name"
    }
    at = end
  }
  return { serverName }
}

const protocolsOf: Reader = (data) => {
  if (skip(data, 0, 2, data.length) !== data.length || data.length === 2) return "extension"
  const protocols: Array<string> = []
  for (let at = 2; at < data.length;) {
    const end = skip(data, at, 1, data.length)
    if (end === undefined || end === at + 1) return "extension"
    const name = data.subarray(at + 1, end)
    if (name.length !== 2 || !isGrease(word(name, 0))) protocols.push(String.fromCharCode(...name))
    at = end
  }
  return { protocols }
}

const versionsOf: Reader = (data) => {
  if (skip(data, 0, 1, data.length) !== data.length || data.length < 3 || data.length % 2 === 0) return "extension"
  const versions: Array<number> = []
  for (let at = 1; at < data.length; at += 2) {
    const version = word(data, at)
    if (!isGrease(version)) versions.push(version)
  }
  return { versions }
}

const readers: Readonly<Record<number, Reader>> = {
  [SERVER_NAME]: serverNameOf,
  [ALPN]: protocolsOf,
  [SUPPORTED_VERSIONS]: versionsOf
}

/** Values without a meaning that clients strew in, so that servers keep ignoring what they don't know (RFC 8701). */
const isGrease = (value: number): boolean => (value & 0x0f0f) === 0x0a0a && value >>> 8 === (value & 0xff)
