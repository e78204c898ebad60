import * as Ring from "./Ring.ts"

/**
 * What a data-plane thread shares with the control side. The thread alone writes to it, with four exceptions, each noted.
 * When the thread is dead, it is the control side's: so that no descriptor that the thread had is lost.
 */
export interface ThreadMemory {
  readonly slots: number
  readonly pipes: number
  readonly block: SharedArrayBuffer
  readonly toControl: SharedArrayBuffer
  readonly toThread: SharedArrayBuffer
  /** Places of the whole engine, for all its threads. */
  readonly places: SharedArrayBuffer
}

/** Words of the header. */
export const header = {
  /** The control side wants it to end: set there. */
  stop: 0,
  /** The thread waits for a place: cleared by the control side that has given one back. */
  starved: 1,
  /** Plus one, or 0. */
  epollFd: 2,
  pipesOpen: 3,
  connections: 4,
  heldBytes: 5,
  /** Clients and backends. */
  sockets: 6,
  /** Of {@link places}: raised by the thread, lowered by the control side when it has read of the end. */
  places: 7,
  /** The thread has loaded its code: one that is terminated before takes the process with it. */
  loaded: 8,
  /** Descriptors of connections opened ahead that came with a bridge: in the ledger by now, or closed. */
  adopted: 9
} as const
const HEADER_BYTES = 64

/** Words of {@link ThreadMemory.places}. */
export const places = {
  /** Connections that have one: raised by the thread that accepts, lowered by the control side when it has read of the end. */
  taken: 0,
  limit: 1
} as const

export interface ThreadView {
  readonly header: Int32Array
  /** What to add to the thread's times to have those of {@link monotonicOrigin}'s clock. */
  readonly clock: Float64Array
  /** By slot and side (client, backend): bytes read from it. */
  readonly bytes: Float64Array
  /** By slot. */
  readonly lastByteAt: Float64Array
  /**
   * By slot and side: its file descriptor plus one, or 0. That of a connection opened ahead is whose who takes it out in one
   * atomic step: the control side for a client, or the thread, which has it negative while it gives it up.
   */
  readonly fds: Int32Array
  /** By slot and side: bytes read from it that the other side has not taken yet. */
  readonly held: Int32Array
  /** By slot. */
  readonly generation: Int32Array
  /** By slot: the last generation of which the control side has heard the end, or wants to hear no more. Written there. */
  readonly heard: Int32Array
  /** Read and write ends of the pipes, plus one, or 0. */
  readonly pipeFds: Int32Array
  readonly phase: Uint8Array
}

/** Milliseconds from the start of the machine's monotonic clock to that of this thread's `performance.now`. */
export const monotonicOrigin = (): number => Number(process.hrtime.bigint()) / 1e6 - performance.now()

const layout = (slots: number, pipes: number) => {
  let size = 0
  const take = (bytes: number): number => {
    const at = size
    size += Math.ceil(bytes / 8) * 8
    return at
  }
  const at = {
    header: take(HEADER_BYTES),
    clock: take(8),
    bytes: take(slots * 16),
    lastByteAt: take(slots * 8),
    fds: take(slots * 8),
    held: take(slots * 8),
    generation: take(slots * 4),
    heard: take(slots * 4),
    pipeFds: take(pipes * 8),
    phase: take(slots)
  }
  return { at, size }
}

// 256 kB: thousands of messages, and a preread of the largest size is a small part of it.
const RING_WORDS = 65_536

export const make = (slots: number, pipes: number, places: SharedArrayBuffer): ThreadMemory => {
  const memory: ThreadMemory = {
    slots,
    pipes,
    block: new SharedArrayBuffer(layout(slots, pipes).size),
    toControl: Ring.memory(RING_WORDS),
    toThread: Ring.memory(RING_WORDS),
    places
  }
  return memory
}

/** For a new thread in the place of a dead one. Generations go on, so that old ids stay unknown. */
export const reset = (memory: ThreadMemory): void => {
  const view = open(memory)
  view.header.fill(0)
  view.fds.fill(0)
  view.held.fill(0)
  view.pipeFds.fill(0)
  view.phase.fill(0)
  Ring.clear(memory.toControl)
  Ring.clear(memory.toThread)
}

export const open = ({ block, pipes, slots }: ThreadMemory): ThreadView => {
  const { at } = layout(slots, pipes)
  return {
    header: new Int32Array(block, at.header, HEADER_BYTES / 4),
    clock: new Float64Array(block, at.clock, 1),
    bytes: new Float64Array(block, at.bytes, slots * 2),
    lastByteAt: new Float64Array(block, at.lastByteAt, slots),
    fds: new Int32Array(block, at.fds, slots * 2),
    held: new Int32Array(block, at.held, slots * 2),
    generation: new Int32Array(block, at.generation, slots),
    heard: new Int32Array(block, at.heard, slots),
    pipeFds: new Int32Array(block, at.pipeFds, pipes * 2),
    phase: new Uint8Array(block, at.phase, slots)
  }
}
