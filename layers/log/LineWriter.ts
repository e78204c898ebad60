import { openFileSink, openStandardSink, type Sink } from "./Sink.ts"

/** Lines to a file or a standard stream, in batches, never blocking the caller and never holding more than a bound. */
export interface LineWriter {
  /** False when the line was dropped: the reader or the disk is too slow, or gone. */
  readonly write: (line: string) => boolean
  readonly dropped: () => number
  /** Opens the path again, after a rotation moved the file. Throws nothing: without a new file the old one stays. */
  readonly reopen: () => void
  /** Writes what waits, for at most `ms`, then closes the file. */
  readonly close: (ms: number) => Promise<void>
}

export type LineTarget = { readonly fd: 1 | 2 } | { readonly path: string }

// One write carries so much; more waits for the next.
const BATCH_CHARS = 65_536
// More than this waiting means that the reader does not keep up: some ten thousand lines.
const MAX_WAITING_CHARS = 4_194_304
// Lines of so long a time go together: each write costs a trip through the thread pool.
const GATHER_MS = 20
const NEW_LINE = 0x0a

/** A reader that stalls costs lines, counted, and nothing else; `process.stdout.write` would stall the process with it. */
export const openLineWriter = (target: LineTarget): LineWriter => {
  const open = (): Sink => ("fd" in target ? openStandardSink(target.fd) : openFileSink(target.path))
  let sink = open()
  let waiting: Array<string> = []
  let waitingChars = 0
  let writingTo: Sink | undefined
  let timer: NodeJS.Timeout | undefined
  let dropped = 0
  let broken = false
  /** The sink that ends in the midst of a line. */
  let torn: Sink | undefined
  let closing: (() => void) | undefined

  const schedule = (): void => {
    if (writingTo !== undefined || timer !== undefined) return
    timer = setTimeout(flush, waitingChars >= BATCH_CHARS ? 0 : GATHER_MS)
  }

  const takeBatch = (): ReadonlyArray<string> => {
    let chars = 0
    let taken = 0
    while (taken < waiting.length && chars < BATCH_CHARS) chars += waiting[taken++]?.length ?? 0
    const batch = waiting.slice(0, taken)
    waiting = taken === waiting.length ? [] : waiting.slice(taken)
    waitingChars -= chars
    return batch
  }

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (writingTo !== undefined) return
    if (waitingChars === 0) return void closing?.()
    const batch = takeBatch()
    const into = sink
    writingTo = into
    // Half a line must not spoil a whole one.
    const bytes = Buffer.from((torn === into ? "\n" : "") + batch.join(""))
    into.write(bytes, (error, written) => {
      writingTo = undefined
      if (written > 0) torn = bytes[written - 1] === NEW_LINE ? undefined : into
      if (error !== null) {
        const whole = bytes.subarray(0, written).filter((byte) => byte === NEW_LINE).length
        dropped += batch.length - Math.max(0, bytes[0] === NEW_LINE ? whole - 1 : whole)
        // Nobody reads any more; other errors (a full disk) may pass.
        if (error.code === "EPIPE") broken = true
      }
      // A write under way keeps its descriptor: closed too early, its number could be a client's socket by now.
      if (into !== sink) into.close()
      if (closing !== undefined) flush()
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
        const old = sink
        sink = open()
        broken = false
        if (writingTo !== old) old.close()
      } catch {
        // The old file goes on being written.
      }
    },
    close: (ms) =>
      new Promise((resolve) => {
        const finish = (): void => {
          clearTimeout(deadline)
          closing = undefined
          sink.close()
          resolve()
        }
        const deadline = setTimeout(finish, ms)
        closing = finish
        flush()
      })
  }
}
