import { addressOf } from "./libc.ts"

/** Bytes that were read and could not be written yet, for directions that are few at any time. */
export interface Stash {
  readonly put: (direction: number, source: Uint8Array, from: number, to: number) => void
  /** Where the bytes begin in memory. */
  readonly address: (direction: number) => number
  /** Forgets the first bytes of a direction, all of them when `left` is 0. */
  readonly drop: (direction: number, bytes: number, left: number) => void
  /** Bytes of memory in use. */
  readonly size: () => number
}

interface Piece {
  readonly bytes: Uint8Array
  address: number
}

/** Pieces of this size are used again: fresh ones for each would keep the garbage collector busy. */
const POOLED_BYTES = 65_536
// Smaller ones get memory of their own size: what waits for a slow reader must not hold much more than its bytes.
const LARGE_BYTES = 16_384
const MAX_IDLE = 64

export const make = (): Stash => {
  const pieces = new Map<number, Piece>()
  const idle: Array<Uint8Array> = []
  let size = 0
  return {
    put: (direction, source, from, to) => {
      const length = to - from
      const pooled = length > LARGE_BYTES && length <= POOLED_BYTES
      // An ArrayBuffer made as such never moves, so that its address stays true.
      const bytes = (pooled ? idle.pop() : undefined) ?? new Uint8Array(new ArrayBuffer(pooled ? POOLED_BYTES : length))
      bytes.set(source.subarray(from, to))
      size += bytes.length
      pieces.set(direction, { bytes, address: addressOf(bytes) })
    },
    address: (direction) => pieces.get(direction)?.address ?? 0,
    drop: (direction, bytes, left) => {
      const piece = pieces.get(direction)
      if (piece === undefined) return
      if (left > 0) {
        piece.address += bytes
        return
      }
      pieces.delete(direction)
      size -= piece.bytes.length
      if (piece.bytes.length === POOLED_BYTES && idle.length < MAX_IDLE) idle.push(piece.bytes)
    },
    size: () => size
  }
}
