import * as fs from "node:fs"

/** Lines to a file or a standard stream, in batches, never blocking the caller and never holding more than a bound. */
export interface LineWriter {
  /** False when the line was dropped: the reader or the disk is too slow, or gone. */
  readonly write: (line: string) => boolean
  readonly dropped: () => number
  /** Opens the path again, after a rotation moved the file; standard streams stay. Throws nothing: the old file stays. */
  readonly reopen: () => void
  /** Writes what waits, for at most `ms`, then closes the file. */
  readonly close: (ms: number) => Promise<void>
}

export type LineTarget = { readonly fd: 1 | 2 } | { readonly path: string }

// One write carries so much; more waits for the next.
const BATCH_CHARS = 65_536
// More than this waiting means that the reader does not keep up: some ten thousand lines.
const MAX_WAITING_CHARS = 4_194_304
const RETRY_MS = 10
// Lines of so long a time go together: each write costs a trip through the thread pool.
const GATHER_MS = 20

/**
 * `process.stdout.write` blocks the whole process when a pipe's reader stalls; `fs.write` runs in the thread pool, so here
 * a stalled reader costs lines, counted, and nothing else.
 */
export const openLineWriter = (target: LineTarget): LineWriter => {
  let fd = "fd" in target ? target.fd : fs.openSync(target.path, "a")
  let waiting: Array<string> = []
  let waitingChars = 0
  let writing = false
  let timer: NodeJS.Timeout | undefined
  let dropped = 0
  let broken = false
  let idle: (() => void) | undefined

  const schedule = (): void => {
    if (writing || timer !== undefined) return
    timer = setTimeout(flush, waitingChars >= BATCH_CHARS ? 0 : GATHER_MS)
  }

  const takeBatch = (): string => {
    let batch = ""
    let taken = 0
    while (taken < waiting.length && batch.length < BATCH_CHARS) batch += waiting[taken++] ?? ""
    waiting = taken === waiting.length ? [] : waiting.slice(taken)
    waitingChars -= batch.length
    return batch
  }

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (writing) return
    if (waitingChars === 0) return void idle?.()
    const batch = takeBatch()
    writing = true
    writeAll(fd, Buffer.from(batch), batch.split("\n").length - 1)
  }

  const writeAll = (into: number, bytes: Buffer, lines: number): void => {
    fs.write(into, bytes, 0, bytes.length, null, (error, written) => {
      if (error !== null && error.code === "EAGAIN")
        return void setTimeout(() => writeAll(into, bytes, lines), RETRY_MS)
      if (error === null && written < bytes.length) return writeAll(into, bytes.subarray(written), lines)
      if (error !== null) {
        dropped += lines
        // Nobody reads any more; other errors (a full disk) may pass.
        if (error.code === "EPIPE") broken = true
      }
      writing = false
      // A write under way keeps its descriptor: closed too early, its number could be a client's socket by now.
      if (into !== fd) fs.close(into, () => undefined)
      if (idle !== undefined) flush()
      else if (waitingChars > 0) schedule()
    })
  }

  return {
    write: (line) => {
      if (broken || waitingChars + line.length >= MAX_WAITING_CHARS) {
        dropped++
        return false
      }
      waiting.push(`${line}\n`)
      waitingChars += line.length + 1
      schedule()
      return true
    },
    dropped: () => dropped,
    reopen: () => {
      if (!("path" in target)) return
      try {
        const next = fs.openSync(target.path, "a")
        const old = fd
        fd = next
        broken = false
        if (!writing) fs.close(old, () => undefined)
      } catch {
        // The old file goes on being written.
      }
    },
    close: (ms) =>
      new Promise((resolve) => {
        const finish = (): void => {
          clearTimeout(deadline)
          idle = undefined
          if ("path" in target) fs.close(fd, () => resolve())
          else resolve()
        }
        const deadline = setTimeout(finish, ms)
        idle = finish
        if (!writing) flush()
      })
  }
}
