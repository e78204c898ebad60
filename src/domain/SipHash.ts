/**
 * SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash of 64 bits for short messages, on pairs of 32-bit words since
 * JavaScript's integers end there.
 */

/** Four 64-bit words of state as eight halves, low before high. */
type State = Int32Array

/** state[a] += state[b] */
const add = (v: State, a: number, b: number): void => {
  const low = ((v[a] ?? 0) >>> 0) + ((v[b] ?? 0) >>> 0)
  v[a + 1] = ((v[a + 1] ?? 0) + (v[b + 1] ?? 0) + (low > 0xffffffff ? 1 : 0)) | 0
  v[a] = low | 0
}

/** state[a] = rotl(state[a], bits) ^ state[b], for fewer than 32 bits. */
const rotateXor = (v: State, a: number, bits: number, b: number): void => {
  const low = v[a] ?? 0
  const high = v[a + 1] ?? 0
  v[a] = ((low << bits) | (high >>> (32 - bits))) ^ (v[b] ?? 0)
  v[a + 1] = ((high << bits) | (low >>> (32 - bits))) ^ (v[b + 1] ?? 0)
}

/** state[a] = rotl(state[a], 32) */
const swap = (v: State, a: number): void => {
  const low = v[a] ?? 0
  v[a] = v[a + 1] ?? 0
  v[a + 1] = low
}

const round = (v: State): void => {
  add(v, 0, 2)
  rotateXor(v, 2, 13, 0)
  swap(v, 0)
  add(v, 4, 6)
  rotateXor(v, 6, 16, 4)
  add(v, 0, 6)
  rotateXor(v, 6, 21, 0)
  add(v, 4, 2)
  rotateXor(v, 2, 17, 4)
  swap(v, 4)
}

const BLOCK = 8

/** `key` has 16 bytes; the hash has 8, the least significant first, as the reference code puts it out. */
export const sipHash = (key: Uint8Array, message: Uint8Array): Uint8Array => {
  const keys = new DataView(key.buffer, key.byteOffset, key.byteLength)
  const k = [0, 4, 8, 12].map((at) => keys.getInt32(at, true))
  const [k0 = 0, k1 = 0, k2 = 0, k3 = 0] = k
  const v = Int32Array.of(
    k0 ^ 0x70736575,
    k1 ^ 0x736f6d65,
    k2 ^ 0x6e646f6d,
    k3 ^ 0x646f7261,
    k0 ^ 0x6e657261,
    k1 ^ 0x6c796765,
    k2 ^ 0x79746573,
    k3 ^ 0x74656462
  )
  // The last block ends in the length.
  const blocks = Math.floor(message.length / BLOCK) + 1
  const padded = new Uint8Array(blocks * BLOCK)
  padded.set(message)
  padded[padded.length - 1] = message.length
  const words = new DataView(padded.buffer)
  for (let at = 0; at < padded.length; at += BLOCK) {
    const low = words.getInt32(at, true)
    const high = words.getInt32(at + 4, true)
    v[6] = (v[6] ?? 0) ^ low
    v[7] = (v[7] ?? 0) ^ high
    round(v)
    round(v)
    v[0] = (v[0] ?? 0) ^ low
    v[1] = (v[1] ?? 0) ^ high
  }
  v[4] = (v[4] ?? 0) ^ 0xff
  for (let i = 0; i < 4; i++) round(v)
  const hash = new DataView(new ArrayBuffer(BLOCK))
  const fold = (half: number): number => [0, 2, 4, 6].reduce((sum, word) => sum ^ (v[word + half] ?? 0), 0)
  hash.setInt32(0, fold(0), true)
  hash.setInt32(4, fold(1), true)
  return new Uint8Array(hash.buffer)
}
