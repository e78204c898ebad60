/** The few values of ASN.1 that a certificate is made of, in their distinguished encoding (X.690). */
export type Der = Buffer

const lengthOf = (length: number): ReadonlyArray<number> => {
  if (length < 0x80) return [length]
  const bytes: Array<number> = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [0x80 | bytes.length, ...bytes]
}

export const tagged = (tag: number, content: Uint8Array): Der =>
  Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content])

export const sequence = (...parts: ReadonlyArray<Uint8Array>): Der => tagged(0x30, Buffer.concat(parts))
export const set = (...parts: ReadonlyArray<Uint8Array>): Der => tagged(0x31, Buffer.concat(parts))
/** An unsigned number, most significant byte first. */
export const integer = (bytes: Uint8Array): Der =>
  tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes)
export const bitString = (bytes: Uint8Array, unusedBits = 0): Der =>
  tagged(0x03, Buffer.concat([Buffer.from([unusedBits]), bytes]))
export const octetString = (bytes: Uint8Array): Der => tagged(0x04, bytes)
export const boolean = (value: boolean): Der => tagged(0x01, Buffer.from([value ? 0xff : 0]))
export const utf8 = (text: string): Der => tagged(0x0c, Buffer.from(text))

export const oid = (dotted: string): Der => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc % 128]
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) groups.unshift(0x80 | (high % 128))
    bytes.push(...groups)
  }
  return tagged(0x06, Buffer.from(bytes))
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
export const time = (ms: number): Der => {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14)
  return Number(text.slice(0, 4)) < 2050
    ? tagged(0x17, Buffer.from(`${text.slice(2)}Z`))
    : tagged(0x18, Buffer.from(`${text}Z`))
}
