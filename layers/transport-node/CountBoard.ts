import type { ConnectionId, LiveCounts } from "../../src/traffic/Transport.ts"

/**
 * The counts of a thread's connections, in memory that the control side reads without asking. A connection has a place of
 * five floats, the first of which is its number, so that who reads late does not take another's counts for its own.
 */
const ID = 0
const BYTES_IN = 1
const BYTES_OUT = 2
/** On the clock that all threads share. */
const LAST_AT = 3
const WAITING = 4
const FLOATS = 5

const HEADER = 2
const HELD = 0
const RESET_WHILE_PAUSED = 1

export const make = (places: number): SharedArrayBuffer => new SharedArrayBuffer(8 * (HEADER + FLOATS * places))

/** What to add to the `performance.now()` of this thread to have a time that all threads share. */
export const clockOrigin = (): number => Number(process.hrtime.bigint()) / 1e6 - performance.now()

const origin = clockOrigin()

export interface Writer {
  /** A place for a new connection; -1 when there is none left, which leaves it without counts. */
  readonly take: (id: ConnectionId) => number
  readonly write: (place: number, counts: LiveCounts) => void
  readonly give: (place: number) => void
  readonly total: (heldBytes: number, resetWhilePaused: number) => void
}

export const writer = (board: SharedArrayBuffer): Writer => {
  const floats = new Float64Array(board)
  const free: Array<number> = []
  let next = HEADER
  return {
    take: (id) => {
      const place = free.pop() ?? (next + FLOATS <= floats.length ? next : -1)
      if (place < 0) return place
      if (place === next) next += FLOATS
      floats[place + BYTES_IN] = 0
      floats[place + BYTES_OUT] = 0
      floats[place + LAST_AT] = origin + performance.now()
      floats[place + WAITING] = 0
      floats[place + ID] = id
      return place
    },
    write: (place, { bytesIn, bytesOut, idleMs, waiting }) => {
      if (place < 0) return
      floats[place + BYTES_IN] = bytesIn
      floats[place + BYTES_OUT] = bytesOut
      floats[place + LAST_AT] = origin + performance.now() - idleMs
      floats[place + WAITING] = waiting
    },
    give: (place) => {
      if (place < 0) return
      floats[place + ID] = 0
      free.push(place)
    },
    total: (heldBytes, resetWhilePaused) => {
      floats[HELD] = heldBytes
      floats[RESET_WHILE_PAUSED] = resetWhilePaused
    }
  }
}

export interface Reader {
  readonly read: (place: number, id: ConnectionId, out: LiveCounts) => void
  readonly heldBytes: () => number
  readonly resetWhilePaused: () => number
  /** When the thread is dead. */
  readonly clear: () => void
}

export const reader = (board: SharedArrayBuffer): Reader => {
  const floats = new Float64Array(board)
  return {
    read: (place, id, out) => {
      if (place < 0 || floats[place + ID] !== id) return
      out.bytesIn = floats[place + BYTES_IN] ?? 0
      out.bytesOut = floats[place + BYTES_OUT] ?? 0
      out.idleMs = Math.max(0, origin + performance.now() - (floats[place + LAST_AT] ?? 0))
      out.waiting = floats[place + WAITING] ?? 0
    },
    heldBytes: () => floats[HELD] ?? 0,
    resetWhilePaused: () => floats[RESET_WHILE_PAUSED] ?? 0,
    clear: () => void floats.fill(0)
  }
}
