/** Castagnoli's polynomial with its bits reversed (RFC 4960, appendix B). */
const POLYNOMIAL = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
  return value
})

const update = (before: number, bytes: Uint8Array, from: number, to: number): number => {
  let crc = before
  for (let at = from; at < to; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 255] ?? 0)
  return crc
}

const blanks = new Uint8Array(4)

/** CRC32c of the bytes, where four of them, from `blank` on, count as zero: the place of the checksum itself. */
export const crc32c = (bytes: Uint8Array, blank: number = bytes.length): number => {
  const before = update(-1, bytes, 0, blank)
  if (blank === bytes.length) return ~before >>> 0
  return ~update(update(before, blanks, 0, 4), bytes, blank + 4, bytes.length) >>> 0
}
