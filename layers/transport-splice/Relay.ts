import { allocate, errno, recv, send, shutdown, splice } from "./libc.ts"
import { EAGAIN, EINTR, EINVAL, EIO, ENOMEM, MSG_NOSIGNAL, SHUT_WR, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from "./linux.ts"
import { pendingError } from "./options.ts"
import type { Pipes } from "./Pipes.ts"
import {
  BACKEND,
  BULK,
  CLIENT,
  FAILED,
  FINISHED,
  HANGUP,
  QUEUED,
  READABLE,
  SHUT,
  type Slots,
  URGENT,
  WRITABLE
} from "./Slots.ts"
import type { Stash } from "./Stash.ts"

/** What carrying bytes can lead to. */
export interface RelayEvents {
  /** Both sides have finished, and everything has been passed on. */
  readonly finished: (slot: number) => void
  /** A side has finished without a byte; true when that was a backend opened ahead, and it is given up. */
  readonly isWarmGone: (side: number) => boolean
  /** A side's connection is broken. */
  readonly broken: (side: number, errno: number) => void
  /** Look at the connection's limits soon: a side has finished, or takes nothing. */
  readonly lookAfter: (slot: number, afterMs: number) => void
}

/**
 * The copying of bytes, in both directions of every connection. A direction is named by the side it is read from. Events are
 * edge-triggered: what a side may do is remembered until the kernel says EAGAIN, and a direction goes on as long as it can,
 * within a share of the turn.
 */
export interface Relay {
  /** Carries what can be carried from a side; false when the connection is no more. */
  readonly pump: (side: number) => boolean
  /** Goes on with what had used up its share; false when nothing waits. */
  readonly resume: () => boolean
  readonly isIdle: () => boolean
  /** Bytes to go before all others from a side. */
  readonly putFirst: (side: number, bytes: Uint8Array) => void
  /** Forgets what is held of both directions. */
  readonly clear: (slot: number) => void
  /** The buffer that everything is read into; its content is nobody's once a call has returned. */
  readonly buffer: { readonly bytes: Uint8Array; readonly address: number }
  readonly beginTurn: (now: number) => void
  /** Milliseconds of the thread's clock, as of the turn's beginning. */
  now: number
}

/** A read that fills it is taken for bulk. */
const COPY_BYTES = 65_536
/** Asked of a splice at once; how much fits depends on how the bytes lie in the kernel's pages. */
const SPLICE_BYTES = 1_048_576
/** A splice that brings less says that the bulk is over. */
const BULK_BYTES = 16_384
/** Of one direction in one turn, so that one busy connection delays no other. */
const SHARE_BYTES = 1_048_576
/** Of all directions in one turn, twice: for those with news, and for those that had used up their share. */
const TURN_BYTES = 4_194_304
/** Beyond this much in the stash of the thread, reads are small. */
const STASH_BYTES = 67_108_864
const SMALL_BYTES = 4_096

const SPLICE_FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK

export const make = (slots: Slots, pipes: Pipes, stash: Stash, events: RelayEvents): Relay => {
  const { bytes, fds, finishedAt, firstByteUs, firstFinisher, flags, held, lastByteAt, pipe, stalledAt, stalledQueue } =
    slots
  const buffer = allocate(COPY_BYTES)
  let queued: Array<number> = []
  let budget = TURN_BYTES

  const fdOf = (side: number): number => (fds[side] ?? 0) - 1

  const account = (side: number, count: number): void => {
    const slot = side >> 1
    if ((side & 1) === BACKEND && bytes[side] === 0) {
      firstByteUs[slot] = Math.max(0, Math.round((performance.now() - (slots.startedAt[slot] ?? 0)) * 1_000))
    }
    bytes[side] = (bytes[side] ?? 0) + count
    lastByteAt[slot] = self.now
  }

  const noteStall = (side: number): void => {
    if (stalledAt[side] !== 0) return
    stalledAt[side] = self.now
    stalledQueue[side] = -1
    const stallMs = slots.limits[(side >> 1) * 4 + 2] ?? 0
    if (stallMs > 0) events.lookAfter(side >> 1, stallMs / STALL_LOOKS)
  }

  const noteFinish = (side: number): void => {
    const slot = side >> 1
    flags[side] = (flags[side] ?? 0) | FINISHED
    if (finishedAt[slot] !== 0) return
    finishedAt[slot] = self.now
    firstFinisher[slot] = side & 1
    const finMs = slots.limits[slot * 4 + 1] ?? 0
    if (finMs > 0) events.lookAfter(slot, finMs)
  }

  /** Writes held bytes of a direction; false when the connection broke. */
  const flush = (side: number): boolean => {
    const other = side ^ 1
    const waiting = held[side] ?? 0
    const through = (pipe[side] ?? 0) - 1
    const sent =
      through >= 0
        ? splice(pipes.readEnd(through), 0, fdOf(other), 0, waiting, SPLICE_FLAGS)
        : send(fdOf(other), stash.address(side), waiting, MSG_NOSIGNAL)
    if (sent < 0) {
      const why = errno()
      if (why === EAGAIN) flags[other] = (flags[other] ?? 0) & ~WRITABLE
      else if (why !== EINTR) {
        events.broken(other, why)
        return false
      }
      return true
    }
    if (sent === 0) {
      events.broken(other, EIO)
      return false
    }
    const left = waiting - sent
    held[side] = left
    lastByteAt[side >> 1] = self.now
    stalledAt[side] = 0
    if (through < 0) stash.drop(side, sent, left)
    else if (left === 0) {
      pipe[side] = 0
      pipes.give(through)
    }
    return true
  }

  /** Reads from a side by copying, and writes at once; -1 when the connection broke, else the bytes read. */
  const copy = (side: number): number => {
    const other = side ^ 1
    const size = stash.size() > STASH_BYTES ? SMALL_BYTES : COPY_BYTES
    const count = recv(fdOf(side), buffer.address, size, 0)
    if (count <= 0) return nothing(side, count < 0 ? errno() : 0)
    account(side, count)
    const flag = flags[side] ?? 0
    if ((flag & URGENT) === 0) {
      if (count === size) flags[side] = flag | BULK
      else if ((flag & (HANGUP | FAILED)) === 0) {
        // Less than was asked for: the queue is empty, and the next bytes will be told of.
        flags[side] = flag & ~READABLE
      } else if ((flag & FAILED) === 0) noteFinish(side)
    }
    let sent = 0
    if (((flags[other] ?? 0) & WRITABLE) !== 0) {
      sent = send(fdOf(other), buffer.address, count, MSG_NOSIGNAL)
      if (sent < 0) {
        const why = errno()
        if (why !== EAGAIN && why !== EINTR) {
          events.broken(other, why)
          return -1
        }
        sent = 0
      }
    }
    if (sent < count) {
      stash.put(side, buffer.bytes, sent, count)
      held[side] = count - sent
    }
    return count
  }

  /** Reads from a side into a pipe; as `copy`. */
  const fill = (side: number): number => {
    const through = pipes.take()
    if (through < 0) {
      // Copies fill the buffer and ask again; nobody is kept waiting for a pipe.
      flags[side] = (flags[side] ?? 0) & ~BULK
      return copy(side)
    }
    const count = splice(fdOf(side), 0, pipes.writeEnd(through), 0, SPLICE_BYTES, SPLICE_FLAGS)
    if (count <= 0) {
      const why = count < 0 ? errno() : 0
      pipes.give(through)
      // It has taken the error from the socket: a read would find the end. Unless the error is the pipe's.
      if (why !== 0 && why !== EAGAIN && why !== ENOMEM && why !== EINVAL) return nothing(side, why)
      // A splice also stops at urgent data, and where the kernel has no page to spare. Only a read tells the end, or that
      // there is no more for now.
      flags[side] = (flags[side] ?? 0) & ~BULK
      return copy(side)
    }
    pipe[side] = through + 1
    held[side] = count
    account(side, count)
    if (count < BULK_BYTES) flags[side] = (flags[side] ?? 0) & ~BULK
    return count
  }

  /** A read that brought no bytes: the end, if nothing was wrong with it, no more for now, or an error. */
  const nothing = (side: number, error: number): number => {
    // After a FIN the kernel reads as the end for ever, even when a reset came behind it.
    const hidden = error === 0 && ((flags[side] ?? 0) & FAILED) !== 0 ? pendingError(fdOf(side)) : 0
    const why = error === 0 ? hidden : error
    if (why === 0) {
      if (events.isWarmGone(side)) return -1
      noteFinish(side)
      return 0
    }
    if (why === EAGAIN) flags[side] = (flags[side] ?? 0) & ~READABLE
    else if (why !== EINTR) {
      events.broken(side, why)
      return -1
    }
    return 0
  }

  /** All that a side sent has been passed on: so is its FIN. False when that was the last of the connection. */
  const passFinish = (side: number): boolean => {
    const other = side ^ 1
    const flag = flags[other] ?? 0
    if ((flag & FINISHED) !== 0 && held[other] === 0) {
      events.finished(side >> 1)
      return false
    }
    if ((flag & SHUT) === 0) {
      flags[other] = flag | SHUT
      shutdown(fdOf(other), SHUT_WR)
    }
    return true
  }

  const pump = (side: number): boolean => {
    const other = side ^ 1
    let share = SHARE_BYTES
    for (;;) {
      while ((held[side] ?? 0) > 0) {
        if (((flags[other] ?? 0) & WRITABLE) === 0) {
          noteStall(side)
          return true
        }
        if (!flush(side)) return false
      }
      const flag = flags[side] ?? 0
      if ((flag & FINISHED) !== 0) return passFinish(side)
      if ((flag & READABLE) === 0) return true
      if (share <= 0 || budget <= 0) {
        if ((flag & QUEUED) === 0) {
          flags[side] = flag | QUEUED
          queued.push(side)
        }
        return true
      }
      // A splice can't get past urgent data (RFC 6093); it stops there as at the end.
      const count = (flag & (BULK | URGENT)) === BULK ? fill(side) : copy(side)
      if (count < 0) return false
      share -= count
      budget -= count
    }
  }

  const self: Relay = {
    now: 0,
    beginTurn: (now) => {
      self.now = now
      budget = TURN_BYTES
    },
    buffer,
    pump,
    isIdle: () => queued.length === 0,
    resume: () => {
      if (queued.length === 0) return false
      const sides = queued
      queued = []
      budget = TURN_BYTES
      for (const side of sides) {
        const flag = flags[side] ?? 0
        // The connection may have ended meanwhile, and the slot be another's: then the flag is gone.
        if ((flag & QUEUED) === 0) continue
        if (budget <= 0) {
          queued.push(side)
          continue
        }
        flags[side] = flag & ~QUEUED
        pump(side)
      }
      return true
    },
    putFirst: (side, first) => {
      stash.put(side, first, 0, first.length)
      held[side] = first.length
    },
    clear: (slot) => {
      for (const side of [slot * 2 + CLIENT, slot * 2 + BACKEND]) {
        const through = (pipe[side] ?? 0) - 1
        if (through >= 0) {
          pipe[side] = 0
          pipes.discard(through)
        } else if ((held[side] ?? 0) > 0) stash.drop(side, 0, 0)
        held[side] = 0
        stalledAt[side] = 0
      }
    }
  }
  return self
}

/** A stalled receiver is looked at this often within the limit, to see whether its kernel takes anything after all. */
export const STALL_LOOKS = 4
