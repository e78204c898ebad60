import { header, open, places, type ThreadMemory, type ThreadView } from "./ThreadMemory.ts"

export const FREE = 0
/** For its bridge. */
export const WAITING = 1
export const DIALLING = 2
export const RELAYING = 3
/** Of a backend without a client: it is dialled ahead, and then open. Its slot has no client's side. */
export const AHEAD = 4
export const WARM = 5

/** Of a connection: its side is twice the slot, plus one of these. */
export const CLIENT = 0
export const BACKEND = 1

/** Flags of a side. */
export const READABLE = 1
export const WRITABLE = 2
/** The kernel has seen the peer's FIN: what is in its queue is the last. */
export const HANGUP = 4
/** All it will ever send has been read. */
export const FINISHED = 8
/** It has been told that no more will come. */
export const SHUT = 16
/** What it sends comes in bulk: spliced, not copied. */
export const BULK = 32
/** It has used up its share of a turn and goes on in the next. */
export const QUEUED = 64
/** The kernel has an error to tell. */
export const FAILED = 128
/** Of a backend: has not lived long enough to need keepalive. */
export const YOUNG = 256
/** There is or was urgent data (RFC 6093): reads stop short at its mark. */
export const URGENT = 512
/** Bytes were owed to it when it was last looked at: the kernel has been told how long they may stay so. */
export const OWED = 1_024
/** Of a backend: was opened ahead of its client. */
export const WARMED = 2_048

/**
 * All the thread knows of its connections: numbers in arrays, some 200 bytes for each, nothing on the heap. Arrays are as
 * long as the most connections there can be; memory is touched, and so taken, only where there are some.
 */
export interface Slots extends ThreadView {
  readonly capacity: number
  /** By side. */
  readonly flags: Uint16Array
  /** By side, of what is read from it: since when the other side takes nothing; 0 when it does. */
  readonly stalledAt: Float64Array
  /** By side: bytes the other side's kernel still had to deliver when it was last looked at. */
  readonly stalledQueue: Int32Array
  /** By side: the pipe that holds its bytes, plus one. */
  readonly pipe: Int16Array
  readonly startedAt: Float64Array
  readonly finishedAt: Float64Array
  readonly phaseSince: Float64Array
  /** -1 before it. */
  readonly firstByteUs: Float64Array
  readonly firstFinisher: Uint8Array
  /** Bytes both kernels still had to deliver when a limit was reached. */
  readonly undelivered: Float64Array
  /** By slot, four each: idle, FIN, stall, age; milliseconds, 0 for none. */
  readonly limits: Float64Array
  readonly prerouteMs: Int32Array
  readonly connectMs: Int32Array
  readonly keepaliveMs: Int32Array
  /** Number of the last dial. */
  readonly dial: Int32Array
  /** Whether there is a place for one more. */
  readonly hasPlace: () => boolean
  /** Takes a place of the engine's, before a connection is accepted: threads must not pass the limit together. */
  readonly reserve: () => boolean
  /** Gives it back when nobody came. */
  readonly unreserve: () => void
  /** The slot that the next connection gets, with a place reserved. */
  readonly next: () => number
  readonly take: (slot: number) => void
  /** Gives it back; it is used again when the control side has heard of the end. */
  readonly free: (slot: number) => void
  readonly isCurrent: (slot: number, generation: number) => boolean
}

const GENERATION_MASK = 0xff_ffff

export const make = (memory: ThreadMemory): Slots => {
  const view = open(memory)
  const capacity = memory.slots
  const shared = new Int32Array(memory.places)
  // A queue: who has been free for longest comes first. Never longer than the slots that were used.
  const freed = new Int32Array(capacity)
  let first = 0
  let count = 0
  let fresh = 0

  const next = (): number => {
    const longest = freed[first] ?? 0
    if (count > 0 && Atomics.load(view.heard, longest) === view.generation[longest]) return longest
    return fresh < capacity ? fresh : -1
  }

  return {
    ...view,
    capacity,
    flags: new Uint16Array(capacity * 2),
    stalledAt: new Float64Array(capacity * 2),
    stalledQueue: new Int32Array(capacity * 2),
    pipe: new Int16Array(capacity * 2),
    startedAt: new Float64Array(capacity),
    finishedAt: new Float64Array(capacity),
    phaseSince: new Float64Array(capacity),
    firstByteUs: new Float64Array(capacity),
    firstFinisher: new Uint8Array(capacity),
    undelivered: new Float64Array(capacity),
    limits: new Float64Array(capacity * 4),
    prerouteMs: new Int32Array(capacity),
    connectMs: new Int32Array(capacity),
    keepaliveMs: new Int32Array(capacity),
    dial: new Int32Array(capacity),
    hasPlace: () => Atomics.load(shared, places.taken) < (shared[places.limit] ?? 0) && next() >= 0,
    reserve: () => {
      if (next() < 0) return false
      if (Atomics.add(shared, places.taken, 1) < (shared[places.limit] ?? 0)) {
        Atomics.add(view.header, header.places, 1)
        return true
      }
      Atomics.sub(shared, places.taken, 1)
      return false
    },
    unreserve: () => {
      Atomics.sub(view.header, header.places, 1)
      Atomics.sub(shared, places.taken, 1)
    },
    next,
    take: (slot) => {
      if (slot === fresh) fresh++
      else {
        first = (first + 1) % capacity
        count--
      }
      const generation = ((view.generation[slot] ?? 0) + 1) & GENERATION_MASK
      view.generation[slot] = generation === 0 ? 1 : generation
    },
    free: (slot) => {
      freed[(first + count) % capacity] = slot
      count++
    },
    isCurrent: (slot, generation) => view.generation[slot] === generation && view.phase[slot] !== FREE
  }
}
