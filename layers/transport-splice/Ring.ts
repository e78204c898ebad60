/**
 * A queue of messages from one thread to one other, in shared memory. A message is a run of 32-bit words: two of header, then
 * what its kind says, beginning on an even word so that 64-bit floats fit. Positions count on for ever and are compared
 * modulo 2^32, so that nothing happens when they pass 2^31.
 */
const HEAD = 0
// A cache line away: the two sides write to their own.
const TAIL = 16
const SLEEPS = 32
const CONTROL_WORDS = 48

const HEADER_WORDS = 2
/** Fills what is left at the end of the memory when the next message does not fit there. */
const SKIP = 0
const KIND_BITS = 8
const KIND_MASK = 255

/** `words` is a power of two. No message may be longer than a quarter of it. */
export const memory = (words: number): SharedArrayBuffer => new SharedArrayBuffer((CONTROL_WORDS + words) * 4)

/** Forgets all messages. Only while neither side is at work. */
export const clear = (shared: SharedArrayBuffer): void => void new Int32Array(shared, 0, CONTROL_WORDS).fill(0)

/** What is in it and not read yet. */
export const unreadBytes = (shared: SharedArrayBuffer): number => {
  const control = new Int32Array(shared, 0, CONTROL_WORDS)
  return ((Atomics.load(control, HEAD) - Atomics.load(control, TAIL)) >>> 0) * 4
}

export interface Writer {
  /** Copies a message into the ring; false, and nothing done, when it is full. Kinds are 1 to 255. */
  readonly push: (kind: number, message: Int32Array, words: number) => boolean
  /** Whether the reader sleeps although there is something to read: it has to be woken, and is taken to be so from now on. */
  readonly mustWake: () => boolean
  readonly isUnread: () => boolean
}

export interface Reader {
  /** The messages' words. */
  readonly words: Int32Array
  /** Where the next message begins in the words; -1 when there is none. */
  readonly next: () => number
  /** Of the message that `next` has found. */
  readonly kind: () => number
  /** Gives the message's memory back. */
  readonly done: () => void
  /** Announces sleep; false when there is a message after all. */
  readonly sleep: () => boolean
  readonly wake: () => void
}

export const writer = (shared: SharedArrayBuffer): Writer => {
  const control = new Int32Array(shared, 0, CONTROL_WORDS)
  const words = new Int32Array(shared, CONTROL_WORDS * 4)
  const size = words.length
  const mask = size - 1
  let head = Atomics.load(control, HEAD)
  return {
    push: (kind, message, count) => {
      const length = (HEADER_WORDS + count + 1) & ~1
      const used = (head - Atomics.load(control, TAIL)) >>> 0
      let at = head & mask
      const skipped = at + length > size ? size - at : 0
      if (used + skipped + length > size) return false
      if (skipped > 0) {
        words[at] = (skipped << KIND_BITS) | SKIP
        at = 0
      }
      words[at] = (length << KIND_BITS) | kind
      for (let i = 0; i < count; i++) words[at + HEADER_WORDS + i] = message[i] ?? 0
      head = (head + skipped + length) | 0
      Atomics.store(control, HEAD, head)
      return true
    },
    mustWake: () =>
      Atomics.load(control, SLEEPS) === 1 &&
      Atomics.load(control, TAIL) !== head &&
      Atomics.exchange(control, SLEEPS, 0) === 1,
    isUnread: () => Atomics.load(control, TAIL) !== head
  }
}

export const reader = (shared: SharedArrayBuffer): Reader => {
  const control = new Int32Array(shared, 0, CONTROL_WORDS)
  const words = new Int32Array(shared, CONTROL_WORDS * 4)
  const mask = words.length - 1
  let tail = Atomics.load(control, TAIL)
  let header = 0
  return {
    words,
    next: () => {
      while (tail !== Atomics.load(control, HEAD)) {
        const at = tail & mask
        header = words[at] ?? 0
        if ((header & KIND_MASK) !== SKIP) return at + HEADER_WORDS
        tail = (tail + (header >>> KIND_BITS)) | 0
      }
      return -1
    },
    kind: () => header & KIND_MASK,
    done: () => {
      tail = (tail + (header >>> KIND_BITS)) | 0
      Atomics.store(control, TAIL, tail)
    },
    sleep: () => {
      Atomics.store(control, SLEEPS, 1)
      // The writer may have looked just before: whoever goes to sleep looks once more.
      if (tail === Atomics.load(control, HEAD)) return true
      Atomics.store(control, SLEEPS, 0)
      return false
    },
    wake: () => void Atomics.store(control, SLEEPS, 0)
  }
}
