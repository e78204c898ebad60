import type { Termination } from "../../src/domain/Termination.ts"
import { relayDeadline } from "../../src/traffic/relayDeadline.ts"
import { setUserTimeout, unacknowledged } from "./options.ts"
import { STALL_LOOKS } from "./Relay.ts"
import { BACKEND, CLIENT, OWED, type Slots } from "./Slots.ts"

/** The limits of relays (C3): idle, after the first FIN, of a receiver that takes nothing, of age. */
export interface Limits {
  /** Ends a connection that has reached one; else has it looked at again when it may have. */
  readonly check: (slot: number, now: number) => void
}

export interface LimitEvents {
  readonly reached: (slot: number, why: Termination) => void
  readonly lookAt: (slot: number, at: number) => void
}

/** Stall limits. */
const PATIENCE = 4

export const make = (slots: Slots, { lookAt, reached }: LimitEvents): Limits => {
  // One of each for all connections: a look allocates nothing.
  const times = { startedAt: 0, lastByteAt: 0, finishedAt: 0, clientStalledAt: 0, backendStalledAt: 0 }
  const limits = { idleMs: 0, finMs: 0, stallMs: 0, maxAgeMs: 0 }

  const queueOf = (side: number): number => unacknowledged((slots.fds[side] ?? 0) - 1)

  /** The kernel of a receiver that takes nothing from us may still be passing on what it has; that is no stall. */
  const lookAtQueue = (side: number, now: number): void => {
    if (slots.stalledAt[side] === 0) return
    const queue = queueOf(side ^ 1)
    const before = slots.stalledQueue[side] ?? -1
    if (before >= 0 && queue < before) slots.stalledAt[side] = now
    slots.stalledQueue[side] = queue
    lookAt(side >> 1, now + limits.stallMs / STALL_LOOKS)
  }

  /**
   * TCP_USER_TIMEOUT is in force only while bytes are owed: else the same limit decides how many keepalive probes may be lost
   * (tcp(7)). Not the stall limit itself: the kernel takes a receiver whose window opens little by little for one that has
   * vanished, where we see that it takes bytes.
   */
  const limitDebt = (side: number): void => {
    const owes = queueOf(side) > 0
    const flag = slots.flags[side] ?? 0
    if (owes === ((flag & OWED) !== 0)) return
    slots.flags[side] = flag ^ OWED
    setUserTimeout((slots.fds[side] ?? 0) - 1, owes ? PATIENCE * limits.stallMs : 0)
  }

  /** Whether the kernels still bring a slow receiver what was read long ago; at first they get the benefit of the doubt. */
  const delivers = (slot: number): boolean => {
    const queue = queueOf(slot * 2 + CLIENT) + queueOf(slot * 2 + BACKEND)
    const before = slots.undelivered[slot] ?? 0
    slots.undelivered[slot] = queue
    return queue > 0 && (before === 0 || queue < before)
  }

  return {
    check: (slot, now) => {
      const client = slot * 2 + CLIENT
      const backend = slot * 2 + BACKEND
      limits.idleMs = slots.limits[slot * 4] ?? 0
      limits.finMs = slots.limits[slot * 4 + 1] ?? 0
      limits.stallMs = slots.limits[slot * 4 + 2] ?? 0
      limits.maxAgeMs = slots.limits[slot * 4 + 3] ?? 0
      if (limits.stallMs > 0) {
        lookAtQueue(client, now)
        lookAtQueue(backend, now)
        limitDebt(client)
        limitDebt(backend)
        lookAt(slot, now + limits.stallMs)
      }
      times.startedAt = slots.startedAt[slot] ?? 0
      times.lastByteAt = slots.lastByteAt[slot] ?? 0
      times.finishedAt = slots.finishedAt[slot] ?? 0
      times.backendStalledAt = slots.stalledAt[client] ?? 0
      times.clientStalledAt = slots.stalledAt[backend] ?? 0
      const next = relayDeadline(times, limits, now)
      if (typeof next !== "number") {
        const patience = next.cause === "fin-timeout" ? limits.finMs : next.cause === "idle-timeout" ? limits.idleMs : 0
        if (patience === 0 || !delivers(slot)) return reached(slot, next)
        return lookAt(slot, now + patience / STALL_LOOKS)
      }
      slots.undelivered[slot] = 0
      if (next < Infinity) lookAt(slot, next)
    }
  }
}
