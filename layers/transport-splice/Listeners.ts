import type { EpollEvents } from "./EpollEvents.ts"
import { accept4, allocate, epollCtl, errno } from "./libc.ts"
import * as linux from "./linux.ts"
import { SOCKADDR_BYTES } from "./sockaddr.ts"
import type { Slots } from "./Slots.ts"

interface ListenerOptions {
  readonly prerouteMs: number
  /** The address that a client has come to is told too. */
  readonly tellLocal: boolean
}

/** Where accepted clients and failures go. */
export interface AcceptEvents {
  /** The client's descriptor is in the slot's ledger already. */
  readonly accepted: (slot: number, listener: number, options: ListenerOptions, sockaddr: Int32Array) => void
  readonly failed: (listener: number, errno: number) => void
  /** Messages to the control side wait: no place for more. */
  readonly isFull: () => boolean
  readonly closed: (listener: number) => void
  /** No place is left; whoever gives one back is to say so. */
  readonly starved: () => void
}

/**
 * The listening sockets as this thread sees them. They belong to the control side; here they are only accepted from. What
 * can't be accepted now stays in the kernel's backlog.
 */
export interface Listeners {
  readonly add: (listener: number, fd: number, options: ListenerOptions) => void
  /** Takes what waits in the backlog, as far as there is room, and forgets the listener; then `closed` is called. */
  readonly close: (listener: number) => void
  readonly pause: (listener: number) => void
  readonly resume: (listener: number) => void
  /** The kernel has said that clients wait. */
  readonly accept: (listener: number) => void
  /** Goes on where places or memory were wanting. */
  readonly retry: (now: number) => void
}

interface State {
  readonly fd: number
  readonly options: ListenerOptions
  paused: boolean
  /** Out of places. */
  starved: boolean
  /** Out of descriptors or memory: not tried again before. */
  suspendedUntil: number
  armed: boolean
  /** How many to take before the kernel is asked again whether there are more. */
  batch: number
  /** Being closed: how many are taken yet; -1 when it is not. */
  left: number
}

/** What came of an accept. */
const TAKEN = 0
const NOBODY = 1
/** The control side has to read first. */
const LATER = 2
const FAILED = 3

/** Of one listener in one turn. */
const BATCH = 64
/** Of a listener that is closed: as many as a long backlog holds. Clients may come as fast as they are taken. */
const LAST = 65_536
const SUSPEND_MS = 100
const ACCEPT_FLAGS = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC

/** Errors of the connection and not of the listener, which is to go on with the next (accept(2)). */
const ofConnection = new Set([
  linux.EINTR,
  linux.ECONNABORTED,
  linux.EPROTO,
  linux.ENETDOWN,
  linux.EHOSTUNREACH,
  linux.ENETUNREACH,
  linux.ETIMEDOUT
])

/** `tagOf` names a listener in an epoll event. */
export const make = (
  slots: Slots,
  epollFd: number,
  event: EpollEvents,
  tagOf: (listener: number) => number,
  events: AcceptEvents
): Listeners => {
  const states = new Map<number, State>()
  const sockaddr = allocate(SOCKADDR_BYTES)
  const length = allocate(8)
  let now = 0

  const arm = (listener: number, state: State): void => {
    const wanted = !state.paused && !state.starved && state.suspendedUntil === 0
    if (wanted === state.armed) return
    // Level-triggered: what was not accepted in one turn is told of again in the next.
    event.set(linux.EPOLLIN | linux.EPOLLEXCLUSIVE, tagOf(listener), 0)
    const operation = wanted ? linux.EPOLL_CTL_ADD : linux.EPOLL_CTL_DEL
    const failed = epollCtl(epollFd, operation, state.fd, event.memory.address) < 0
    state.armed = wanted && !failed
    if (wanted && failed) state.suspendedUntil = now + SUSPEND_MS
  }

  const acceptOne = (listener: number, state: State): number => {
    if (events.isFull() || !slots.reserve()) {
      state.starved = true
      events.starved()
      // A place may have been given back just before.
      if (!events.isFull() && slots.hasPlace()) state.starved = false
      return events.isFull() ? LATER : FAILED
    }
    const slot = slots.next()
    const client = slot * 2
    length.words[0] = SOCKADDR_BYTES
    // Straight into the ledger: a thread that is killed right after must not lose it.
    slots.fds[client] = accept4(state.fd, sockaddr.address, length.address, ACCEPT_FLAGS) + 1
    if (slots.fds[client] === 0) {
      const why = errno()
      slots.unreserve()
      if (why === linux.EAGAIN) return NOBODY
      if (ofConnection.has(why)) return TAKEN
      state.suspendedUntil = now + SUSPEND_MS
      events.failed(listener, why)
      return FAILED
    }
    slots.take(slot)
    events.accepted(slot, listener, state.options, sockaddr.words)
    return TAKEN
  }

  const accept = (listener: number, state: State): void => {
    // One that is being closed gets no event any more when nobody is left, so it is emptied in this turn.
    const most = state.left >= 0 ? state.left : state.batch
    let taken = 0
    let outcome = TAKEN
    while (taken < most && outcome === TAKEN) {
      outcome = acceptOne(listener, state)
      if (outcome === TAKEN) taken++
    }
    state.batch = taken < state.batch ? Math.max(1, taken) : Math.min(BATCH, state.batch * 2)
    if (state.left >= 0) {
      state.left -= taken
      if (outcome === NOBODY || outcome === FAILED || state.left <= 0) {
        state.paused = true
        arm(listener, state)
        states.delete(listener)
        return events.closed(listener)
      }
    }
    arm(listener, state)
  }

  return {
    add: (listener, fd, options) => {
      // Told twice, when a thread before this one could not begin.
      if (states.has(listener)) return
      const state: State = {
        fd,
        options,
        paused: false,
        starved: false,
        suspendedUntil: 0,
        armed: false,
        batch: 1,
        left: -1
      }
      states.set(listener, state)
      arm(listener, state)
    },
    close: (listener) => {
      const state = states.get(listener)
      if (state === undefined) return events.closed(listener)
      state.paused = false
      state.left = LAST
      accept(listener, state)
    },
    pause: (listener) => {
      const state = states.get(listener)
      if (state === undefined || state.left >= 0) return
      state.paused = true
      arm(listener, state)
    },
    resume: (listener) => {
      const state = states.get(listener)
      if (state === undefined) return
      state.paused = false
      arm(listener, state)
    },
    accept: (listener) => {
      const state = states.get(listener)
      if (state !== undefined && !state.paused) accept(listener, state)
    },
    retry: (time) => {
      now = time
      for (const [listener, state] of states) {
        if (state.starved && !events.isFull() && slots.hasPlace()) state.starved = false
        if (state.suspendedUntil !== 0 && state.suspendedUntil <= now) state.suspendedUntil = 0
        if (state.left >= 0 && !state.starved) accept(listener, state)
        else arm(listener, state)
      }
    }
  }
}
