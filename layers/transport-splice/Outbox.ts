import type { Writer } from "./Ring.ts"

/** What one side says to the other. A message that does not fit into the ring waits, in order; none is ever lost. */
export interface Outbox {
  /** To be filled with the message that is sent next. */
  readonly words: Int32Array
  readonly floats: Float64Array
  readonly send: (kind: number, words: number) => void
  /** Whether anything was sent since this was last asked that should be read at once. */
  readonly isUrgent: () => boolean
  /** Puts what waits into the ring; false when some still has to. */
  readonly flush: () => boolean
  readonly isFull: () => boolean
  /** Messages that wait. */
  readonly size: () => number
}

/** `canWait` are kinds of messages that may be read a little later, together with others. */
export const make = (writer: Writer, longest: number, canWait: ReadonlySet<number> = new Set()): Outbox => {
  const buffer = new ArrayBuffer(Math.ceil(longest / 2) * 8)
  const words = new Int32Array(buffer)
  let waiting: Array<{ readonly kind: number; readonly words: Int32Array }> = []
  let urgent = false
  const flush = (): boolean => {
    let sent = 0
    while (sent < waiting.length) {
      const message = waiting[sent]
      if (message === undefined || !writer.push(message.kind, message.words, message.words.length)) break
      sent++
    }
    if (sent > 0) waiting = waiting.slice(sent)
    return waiting.length === 0
  }
  return {
    words,
    floats: new Float64Array(buffer),
    isUrgent: () => {
      const was = urgent
      urgent = false
      return was
    },
    send: (kind, count) => {
      if (!canWait.has(kind)) urgent = true
      if (waiting.length === 0 && writer.push(kind, words, count)) return
      waiting.push({ kind, words: words.slice(0, count) })
    },
    flush,
    isFull: () => waiting.length > 0,
    size: () => waiting.length
  }
}
