/** Castagnoli's polynomial with its bits reversed (RFC 4960, appendix B). */
const POLYNOMIAL = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
  return value
})

/** CRC32c of the bytes, where four of them, from `blank` on, count as zero: the place of the checksum itself. */
export const crc32c = (bytes: Uint8Array, blank = Infinity): number => {
  let crc = 0xffffffff
  for (let at = 0; at < bytes.length; at++) {
    const byte = at >= blank && at < blank + 4 ? 0 : (bytes[at] ?? 0)
    crc = (crc >>> 8) ^ (table[(crc ^ byte) & 255] ?? 0)
  }
  return ~crc >>> 0
}
