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

/**
 * Sends RST, through the TCP socket when the stream is TLS over one. A shutdown that was just begun is over within a turn of
 * the loop, and has to be waited for.
 */
export const reset = (stream: Socket, socket: Socket = stream): void => {
  if (stream.writableEnded && !stream.writableFinished && !stream.destroyed) {
    stream.once("finish", () => socket.resetAndDestroy())
  } else socket.resetAndDestroy()
}

/** Ends the stream for good: FIN when the peer has taken everything, else RST, since it may never take the rest. */
export const closeInOrder = (stream: Socket, socket: Socket = stream): void => {
  if (stream.writableLength > 0) return reset(stream, socket)
  finish(stream)
  stream.destroySoon()
}

/** Ends the socket with FIN after what is still to be written, and without saying so in its TLS. */
export const cut = (stream: Socket, socket: Socket): void => {
  if (stream.writableLength === 0) socket.destroySoon()
  else stream.write(NOTHING, () => socket.destroySoon())
}
