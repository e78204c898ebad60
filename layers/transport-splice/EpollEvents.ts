import { allocate, type Memory } from "./libc.ts"

/**
 * The kernel's `struct epoll_event` array: packed to 12 bytes on x86-64, 16 bytes with the data at offset 8 elsewhere. The
 * data is two words here: a tag of ours and the generation of what it names.
 */
export interface EpollEvents {
  readonly capacity: number
  readonly memory: Memory
  readonly events: (index: number) => number
  readonly tag: (index: number) => number
  readonly generation: (index: number) => number
  /** Writes the first entry, for `epoll_ctl`. */
  readonly set: (events: number, tag: number, generation: number) => void
}

const packed = process.arch === "x64"
const STRIDE = packed ? 3 : 4
const DATA = packed ? 1 : 2

export const make = (capacity: number): EpollEvents => {
  const memory = allocate(capacity * STRIDE * 4)
  const { words } = memory
  return {
    capacity,
    memory,
    events: (index) => words[index * STRIDE] ?? 0,
    tag: (index) => words[index * STRIDE + DATA] ?? 0,
    generation: (index) => words[index * STRIDE + DATA + 1] ?? 0,
    set: (events, tag, generation) => {
      words[0] = events
      words[DATA] = tag
      words[DATA + 1] = generation
    }
  }
}
