/** A TLS ClientHello put together by hand, so that every part of it can be wrong. */

const u16 = (value: number): ReadonlyArray<number> => [(value >>> 8) & 255, value & 255]
const sized = (width: 1 | 2 | 3, bytes: ReadonlyArray<number>): ReadonlyArray<number> => [
  ...(width === 3 ? [bytes.length >>> 16] : []),
  ...(width === 1 ? [bytes.length] : u16(bytes.length & 0xffff)),
  ...bytes
]
const ascii = (text: string): ReadonlyArray<number> => [...Buffer.from(text, "latin1")]

export interface Extension {
  readonly type: number
  readonly data: ReadonlyArray<number>
}

export const serverName = (name: string, type = 0): Extension => ({
  type: 0,
  data: sized(2, [type, ...sized(2, ascii(name))])
})

export const alpn = (...protocols: ReadonlyArray<string>): Extension => ({
  type: 16,
  data: sized(
    2,
    protocols.flatMap((protocol) => sized(1, ascii(protocol)))
  )
})

export const supportedVersions = (...versions: ReadonlyArray<number>): Extension => ({
  type: 43,
  data: sized(1, versions.flatMap(u16))
})

/** The extension, session, cipher and other values that browsers strew in (RFC 8701). */
export const grease = (index: number): Extension => ({ type: 0x0a0a + index * 0x1010, data: index === 0 ? [] : [0] })

export interface HelloParts {
  readonly version?: number
  readonly session?: number
  readonly ciphers?: number
  readonly extensions?: ReadonlyArray<Extension> | undefined
  /** Bytes after the extensions. */
  readonly trailer?: ReadonlyArray<number>
}

/** The handshake message, without records. */
export const message = ({ ciphers = 3, extensions = [], session = 32, trailer = [], version = 0x0303 }: HelloParts) => [
  1,
  ...sized(3, [
    ...u16(version),
    ...Array.from({ length: 32 }, (_, index) => index),
    ...sized(
      1,
      Array.from({ length: session }, () => 7)
    ),
    ...sized(2, [0x1a, 0x1a, ...Array.from({ length: ciphers - 1 }, () => [0x13, 0x01]).flat()]),
    1,
    0,
    ...sized(
      2,
      extensions.flatMap(({ data, type }) => [...u16(type), ...sized(2, data)])
    ),
    ...trailer
  ])
]

/** A message in records of at most so many bytes. */
export const records = (body: ReadonlyArray<number>, size = 16_384): Uint8Array => {
  const out: Array<number> = []
  for (let at = 0; at < body.length; at += size) out.push(22, 3, 1, ...sized(2, body.slice(at, at + size)))
  return Uint8Array.from(out)
}

/** As a browser would say it. */
export const hello = (name: string, ...protocols: ReadonlyArray<string>): Uint8Array =>
  records(
    message({
      extensions: [
        grease(0),
        serverName(name),
        ...(protocols.length > 0 ? [alpn(...protocols)] : []),
        supportedVersions(0x3a3a, 0x0304, 0x0303),
        grease(1)
      ]
    })
  )
