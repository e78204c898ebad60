import type { Socket } from "node:net"

/** Large pieces are copied into buffers of this size, which are used again. */
const POOLED_BYTES = 65_536
// Smaller ones get a buffer of their own size: one that waits for a slow reader must not hold much more than its bytes.
const LARGE_BYTES = 32_768

// Idle buffers kept: 16 MB at most.
const MAX_IDLE = 256
const idle: Array<Buffer> = []

/**
 * Writes a copy of the first `length` bytes, so that the source may be used again at once; false when the socket wants no
 * more. A fresh 64 kB buffer for every read would have the garbage collector run for each few megabytes carried (V8 takes
 * them for memory pressure), which costs more than the copy.
 */
export const writeCopy = (socket: Socket, source: Buffer, length: number): boolean => {
  if (length < LARGE_BYTES) {
    const piece = Buffer.allocUnsafe(length)
    source.copy(piece, 0, 0, length)
    return socket.write(piece)
  }
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES)
  source.copy(buffer, 0, 0, length)
  return socket.write(buffer.subarray(0, length), () => {
    if (idle.length < MAX_IDLE) idle.push(buffer)
  })
}
