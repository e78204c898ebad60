import type { Socket } from "node:net"

const NOTHING = Buffer.alloc(0)

/**
 * Sends FIN after what is still to be written. The stream's own `end` is called only then: while a shutdown waits behind
 * data that the peer does not take, libuv can neither reset nor close the socket.
 */
export const finish = (socket: Socket): void => {
  if (socket.writableEnded || socket.destroyed) return
  if (socket.writableLength === 0) socket.end()
  else socket.write(NOTHING, (error) => void (error === null || error === undefined ? socket.end() : undefined))
}

/** Sends RST. A shutdown that was just begun is over within a turn of the loop, and has to be waited for. */
export const reset = (socket: Socket): void => {
  if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
    socket.once("finish", () => socket.resetAndDestroy())
  } else socket.resetAndDestroy()
}

/** Ends the socket for good: FIN when the peer has taken everything, else RST, since it may never take the rest. */
export const closeInOrder = (socket: Socket): void => {
  if (socket.writableLength > 0) return reset(socket)
  finish(socket)
  socket.destroySoon()
}
