import * as fs from "node:fs"
import * as net from "node:net"

/** Where bytes go, one write at a time, none of which may ever block a thread: a blocked one could not even be left at exit. */
export interface Sink {
  /** Calls back once: with null when everything is written, else with the reason, and how much was written before. */
  readonly write: (bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null, written: number) => void) => void
  readonly close: () => void
}

const RETRY_MS = 10

/** A file, or a pipe that was opened not to block. */
const fileSink = (fd: number): Sink => {
  const writeFrom = (from: number, bytes: Uint8Array, done: Parameters<Sink["write"]>[1]): void =>
    fs.write(fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === "EAGAIN") return void setTimeout(() => writeFrom(from, bytes, done), RETRY_MS)
      if (error !== null) return done(error, from)
      const next = from + written
      return next < bytes.length ? writeFrom(next, bytes, done) : done(null, next)
    })
  return {
    write: (bytes, done) => writeFrom(0, bytes, done),
    close: () => (fd > 2 ? fs.close(fd, () => undefined) : undefined)
  }
}

/** A standard stream that is a pipe or a socket: libuv writes to these without blocking. */
const streamSink = (fd: number): Sink => {
  const stream = new net.Socket({ fd, readable: false, writable: true })
  // Every failed write is told to its caller; without a listener it would end the process as well.
  stream.on("error", () => undefined)
  stream.unref()
  return {
    write: (bytes, done) => void stream.write(bytes, (error) => done(error ?? null, 0)),
    close: () => void stream.destroy()
  }
}

/** Appends to a file or a named pipe; a pipe that nobody reads is an error and not a wait. Throws. */
export const openFileSink = (path: string): Sink => {
  const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs.constants
  return fileSink(fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640))
}

export const openStandardSink = (fd: 1 | 2): Sink => {
  const stats = fs.fstatSync(fd)
  if (stats.isFIFO() || stats.isSocket()) return streamSink(fd)
  return (stats.isCharacterDevice() ? terminalSink(fd) : undefined) ?? fileSink(fd)
}

/** A terminal opened once more so as not to block: one that is held with Ctrl-S holds nothing else. */
const terminalSink = (fd: number): Sink | undefined => {
  try {
    return fileSink(fs.openSync(`/dev/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK))
  } catch {
    return undefined
  }
}
