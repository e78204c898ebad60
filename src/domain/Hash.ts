/**
 * 32-bit hashes for placing clients and backends. Every POP must get the same number from the same text, so these are
 * fixed for good; they are not meant to resist an attacker who picks backend ids.
 */

/** The finalizer of MurmurHash3 (Austin Appleby, public domain): every input bit changes about half of the output bits. */
export const mix = (value: number): number => {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Combines a hash with one more word; the order of the words matters. */
export const combine = (hash: number, word: number): number => mix(Math.imul(hash ^ 0x9e3779b9, 0x01000193) ^ word)

/** FNV-1a over the UTF-16 code units, finished with {@link mix}. */
export const hashText = (text: string): number => {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return mix(h)
}

/** Maps a hash into the open interval (0, 1): never 0, so that its logarithm is finite. */
export const unit = (hash: number): number => (hash + 0.5) / 4294967296
