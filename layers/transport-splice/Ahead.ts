import { MAX_GREETING } from "../../src/traffic/Transport.ts"
import { close } from "./libc.ts"
import * as linux from "./linux.ts"
import * as messages from "./messages.ts"
import { pendingError, setKeepalive, unread } from "./options.ts"
import type { Outbox } from "./Outbox.ts"
import { AHEAD, BACKEND, FREE, type Slots, WARM } from "./Slots.ts"
import type { SlotWheel } from "./SlotWheel.ts"
import type { Sockets } from "./Sockets.ts"

/**
 * A thread's connections that were opened ahead of any client (H5). Each has a slot, for its place in the ledger and for
 * its deadline, with a backend's side only. Nothing is read from one: what its backend says first stays in the kernel for
 * the client. The control side may take one out of the ledger at any moment, whatever this thread does meanwhile.
 */
export interface Ahead {
  readonly open: (words: Int32Array, at: number) => void
  /** It is not wanted any more, or has been taken. */
  readonly discard: (number: number) => void
  /** The kernel has told something of it. */
  readonly hear: (slot: number, events: number) => void
  readonly due: (slot: number, now: number) => void
  readonly shut: () => void
}

const ENDED = linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR

export const make = (slots: Slots, sockets: Sockets, outbox: Outbox, wheel: SlotWheel): Ahead => {
  const { connectMs, fds, flags, generation, keepaliveMs, phase, phaseSince } = slots
  const { words } = outbox
  const slotOf = new Map<number, number>()
  const numberOf = new Map<number, number>()

  const tell = (kind: number, slot: number, number: number, what: number): void => {
    words[messages.warmLost.slot] = slot
    words[messages.warmLost.generation] = slot < 0 ? 0 : (generation[slot] ?? 0)
    words[messages.warmLost.number] = number
    words[messages.warmLost.errno] = what
    outbox.send(kind, messages.warmLost.words)
  }

  const free = (slot: number): void => {
    slotOf.delete(numberOf.get(slot) ?? 0)
    numberOf.delete(slot)
    wheel.cancel(slot)
    flags[slot * 2 + BACKEND] = 0
    phase[slot] = FREE
    slots.free(slot)
  }

  const lose = (slot: number, errno: number): void => {
    sockets.close(slot * 2 + BACKEND, false)
    tell(messages.WARM_LOST, slot, numberOf.get(slot) ?? 0, errno)
    free(slot)
  }

  /**
   * Gives one up that has ended or says too much. Asking how much it says changes nothing, so it does not matter if it is a
   * client's by now; for all else it is taken out of the control side's reach first.
   */
  const look = (slot: number, what: number): void => {
    const side = slot * 2 + BACKEND
    const entry = Atomics.load(fds, side)
    const fd = entry - 1
    const isTooMuch = fd >= 0 && unread(fd) > MAX_GREETING
    if (entry <= 0 || (!isTooMuch && (what & ENDED) === 0)) return
    if (Atomics.compareExchange(fds, side, entry, -entry) !== entry) return
    const isBroken = (what & (linux.EPOLLERR | linux.EPOLLHUP)) !== 0
    const errno = isBroken ? pendingError(fd) : isTooMuch ? linux.EMSGSIZE : 0
    fds[side] = 0
    close(fd)
    sockets.count(0, -1)
    lose(slot, errno)
  }

  const opened = (slot: number): void => {
    const connectUs = Math.max(0, Math.round((performance.now() - (phaseSince[slot] ?? 0)) * 1_000))
    phase[slot] = WARM
    wheel.cancel(slot)
    setKeepalive(sockets.fdOf(slot * 2 + BACKEND), keepaliveMs[slot] ?? 0)
    tell(messages.WARM_OPEN, slot, numberOf.get(slot) ?? 0, connectUs)
  }

  return {
    open: (source, at) => {
      const number = source[at + messages.warm.number] ?? 0
      const slot = slots.next()
      if (slot < 0) return tell(messages.WARM_LOST, slot, number, linux.ENOMEM)
      slots.take(slot)
      slotOf.set(number, slot)
      numberOf.set(slot, number)
      connectMs[slot] = source[at + messages.warm.connectMs] ?? 0
      keepaliveMs[slot] = source[at + messages.warm.keepaliveMs] ?? 0
      flags[slot * 2 + BACKEND] = 0
      phase[slot] = AHEAD
      phaseSince[slot] = performance.now()
      wheel.wakeAt(slot, (phaseSince[slot] ?? 0) + (connectMs[slot] ?? 0))
      const refused = sockets.dial(slot * 2 + BACKEND, source, at + messages.warm.address)
      if (refused !== 0) lose(slot, refused)
    },
    discard: (number) => {
      const slot = slotOf.get(number)
      if (slot === undefined) return
      const side = slot * 2 + BACKEND
      if (sockets.fdOf(side) >= 0) sockets.close(side, false)
      else sockets.count(0, -1)
      // The control side has forgotten it before it said so.
      Atomics.store(slots.heard, slot, generation[slot] ?? 0)
      free(slot)
    },
    hear: (slot, what) => {
      if (phase[slot] === AHEAD) {
        if ((what & linux.EPOLLERR) !== 0) {
          return lose(slot, pendingError(sockets.fdOf(slot * 2 + BACKEND)) || linux.ECONNRESET)
        }
        if ((what & linux.EPOLLHUP) !== 0) return lose(slot, linux.ECONNRESET)
        if ((what & linux.EPOLLOUT) === 0) return
        opened(slot)
      }
      look(slot, what)
    },
    due: (slot, now) => {
      const at = (phaseSince[slot] ?? 0) + (connectMs[slot] ?? 0)
      if (now < at) wheel.wakeAt(slot, at)
      else lose(slot, linux.ETIMEDOUT)
    },
    shut: () => {
      for (const slot of numberOf.keys()) {
        sockets.close(slot * 2 + BACKEND, false)
        free(slot)
      }
    }
  }
}
