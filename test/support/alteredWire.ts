import type { Socket } from "node:net"
import { Duplex } from "node:stream"

/**
 * The way of a client's TLS to the network, which `alter` may change: the nth write, counted from 0, goes out as these
 * pieces, one packet after the other.
 */
export const alteredWire = (socket: Socket, alter: (nth: number, bytes: Buffer) => ReadonlyArray<Buffer>): Duplex => {
  let writes = 0
  const wire = new Duplex({
    read: () => void socket.resume(),
    write: (bytes: Buffer, _, done) => {
      const pieces = [...alter(writes++, bytes)]
      const next = (): void => {
        const piece = pieces.shift()
        if (piece === undefined) return done()
        // A while in between, or the other end could read both as one.
        socket.write(piece, () => setTimeout(next, pieces.length === 0 ? 0 : 2))
      }
      next()
    },
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    }
  })
  socket.removeAllListeners("data")
  socket.on("data", (bytes: Buffer) => {
    if (!wire.push(bytes)) socket.pause()
  })
  socket.on("end", () => wire.push(null))
  socket.on("error", (error) => wire.destroy(error))
  socket.on("close", () => wire.destroy())
  return wire
}
