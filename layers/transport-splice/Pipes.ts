import { allocate, close, fcntl, pipe2 } from "./libc.ts"
import { F_GETPIPE_SZ, F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK } from "./linux.ts"

/**
 * Kernel pipes through which bytes are spliced from socket to socket. A pipe belongs to a direction only while bytes are in
 * it, so a few serve thousands of connections. Their number bounds what stalled receivers can park in the kernel.
 */
export interface Pipes {
  /** An empty pipe, or -1: out of pipes, or of what the kernel grants this user. */
  readonly take: () => number
  /** Gives an empty pipe back. */
  readonly give: (pipe: number) => void
  /** Ends one that may hold bytes. */
  readonly discard: (pipe: number) => void
  /** Ends all that are empty. */
  readonly trim: () => void
  readonly readEnd: (pipe: number) => number
  readonly writeEnd: (pipe: number) => number
  readonly open: () => number
}

/**
 * What an ordinary user may ask for at most by default (`pipe-max-size`). On loopback a gigabyte costs a fifth to a third
 * less processor time than with 256 kB, since sender and receiver are woken less often.
 */
const PIPE_BYTES = 1_048_576
/** Smaller ones are slower than copying. Past `pipe-user-pages-soft` the kernel gives ordinary users two pages. */
const LEAST_BYTES = 65_536

/** `fds` is the ledger of both ends of each pipe, plus one each; 0 for none. */
export const make = (fds: Int32Array): Pipes => {
  const most = fds.length / 2
  const idle: Array<number> = []
  const closed = Array.from({ length: most }, (_, i) => most - 1 - i)
  const ends = allocate(8)
  let refused = 0

  const discard = (pipe: number): void => {
    for (const end of [pipe * 2, pipe * 2 + 1]) {
      const fd = (fds[end] ?? 0) - 1
      fds[end] = 0
      if (fd >= 0) close(fd)
    }
    closed.push(pipe)
  }

  return {
    take: () => {
      const known = idle.pop()
      if (known !== undefined) return known
      // The kernel says no to this user until others give pipes back: asked again only now and then.
      if (refused > 0) {
        refused--
        return -1
      }
      const pipe = closed.pop()
      if (pipe === undefined) return -1
      if (pipe2(ends.address, O_CLOEXEC | O_NONBLOCK) < 0) {
        closed.push(pipe)
        refused = ASK_AGAIN
        return -1
      }
      fds[pipe * 2] = (ends.words[0] ?? 0) + 1
      fds[pipe * 2 + 1] = (ends.words[1] ?? 0) + 1
      const end = ends.words[1] ?? 0
      // Past the user's share the kernel grants nothing, and the pipe stays as it was made.
      const size = Math.max(fcntl(end, F_SETPIPE_SZ, PIPE_BYTES), fcntl(end, F_GETPIPE_SZ, 0))
      if (size >= LEAST_BYTES) return pipe
      discard(pipe)
      refused = ASK_AGAIN
      return -1
    },
    give: (pipe) => void idle.push(pipe),
    discard,
    trim: () => {
      while (idle.length > 0) discard(idle.pop() ?? 0)
    },
    readEnd: (pipe) => (fds[pipe * 2] ?? 0) - 1,
    writeEnd: (pipe) => (fds[pipe * 2 + 1] ?? 0) - 1,
    open: () => most - closed.length
  }
}

const ASK_AGAIN = 10_000
