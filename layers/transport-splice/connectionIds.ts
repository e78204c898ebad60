import type { ConnectionId } from "../../src/traffic/Transport.ts"

/** A connection's number: its thread (up to 512), its slot there, and the slot's generation, so that no number comes again soon. */
const GENERATIONS = 2 ** 24
const SLOTS = 2 ** 20

export const MOST_SLOTS = SLOTS

export const idOf = (thread: number, slot: number, generation: number): ConnectionId =>
  (thread * SLOTS + slot) * GENERATIONS + generation

export const threadOf = (id: ConnectionId): number => Math.floor(id / (GENERATIONS * SLOTS))
export const slotOf = (id: ConnectionId): number => Math.floor(id / GENERATIONS) % SLOTS
export const generationOf = (id: ConnectionId): number => id % GENERATIONS
