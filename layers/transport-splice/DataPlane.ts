import type { Termination } from "../../src/domain/Termination.ts"
import { MAX_PREREAD, type Enough, prereads } from "../../src/traffic/Preread.ts"
import { relayDeadline } from "../../src/traffic/relayDeadline.ts"
import type { EpollEvents } from "./EpollEvents.ts"
import { allocate, close, connect, epollCtl, errno, recv, socket } from "./libc.ts"
import * as linux from "./linux.ts"
import * as Listeners from "./Listeners.ts"
import * as messages from "./messages.ts"
import { pendingError, resetOnClose, setNoDelay, setPatience, unacknowledged } from "./options.ts"
import type * as Outbox from "./Outbox.ts"
import * as Pipes from "./Pipes.ts"
import * as Relay from "./Relay.ts"
import * as Slots from "./Slots.ts"
import { BACKEND, CLIENT, DIALLING, FREE, RELAYING, WAITING } from "./Slots.ts"
import * as SlotWheel from "./SlotWheel.ts"
import { fromSockaddr, SOCKADDR_BYTES, toSockaddr } from "./sockaddr.ts"
import * as Stash from "./Stash.ts"
import { header } from "./ThreadMemory.ts"

/**
 * One thread's connections: accepted, waiting for their backend, dialling, relaying. Everything in it runs to completion in
 * reaction to an event of the kernel, a message, or a deadline; nothing waits.
 */
export interface DataPlane {
  readonly clientOrBackend: (side: number, generation: number, events: number) => void
  readonly listener: (listener: number) => void
  readonly command: (kind: number, words: Int32Array, floats: Float64Array, at: number) => void
  /** Ends a turn: what had used up its share goes on, deadlines are looked at. */
  readonly finishTurn: () => void
  readonly isIdle: () => boolean
  /** Takes the time in milliseconds: the clock is read once a turn. */
  readonly beginTurn: (now: number) => void
  /** Ends everything. */
  readonly shut: () => void
}

/** Names a listener in an epoll event; sides are smaller. */
export const LISTENER_TAG = 0x4000_0000

const TICK_MS = 50
/** Before, no peer can have been silent for too long: limits are given in seconds. */
const PATIENCE_AFTER_MS = 500
/** Reads of 64 kB each. */
const DISCARDS = 16
/** Without a connection for so long, the thread needs no pipes. */
const PIPES_IDLE_MS = 1_000
const WATCHED = linux.EPOLLIN | linux.EPOLLPRI | linux.EPOLLOUT | linux.EPOLLRDHUP | linux.EPOLLET
const SOCKET_TYPE = linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC

const questions: ReadonlyArray<Enough> = Object.values(prereads)

const pack = messages.packWhy
const finWhy = {
  [CLIENT]: pack({ by: "client", phase: "relay", cause: "fin" }),
  [BACKEND]: pack({ by: "backend", phase: "relay", cause: "fin" })
} as const
const prerouteTimeout = pack({ by: "proxy", phase: "pre-route", cause: "preroute-timeout" })
const internal = pack({ by: "proxy", phase: "pre-route", cause: "internal" })
const lost: ReadonlyArray<Termination["phase"]> = ["pre-route", "pre-route", "dial", "relay"]
const noRoom = pack({ by: "proxy", phase: "pre-route", cause: "limit" })
const cancelled = pack({ by: "proxy", phase: "relay", cause: "internal" })
const isReset = (why: number): boolean => why === linux.ECONNRESET || why === linux.EPIPE

export const make = (slots: Slots.Slots, epollFd: number, event: EpollEvents, outbox: Outbox.Outbox): DataPlane => {
  const { fds, flags, generation, held, phase, phaseSince } = slots
  const { floats, words } = outbox
  const wheel = SlotWheel.make(slots.capacity, TICK_MS, performance.now())
  const stash = Stash.make()
  const pipes = Pipes.make(slots.pipeFds)
  const sockaddr = allocate(SOCKADDR_BYTES)
  const preludes = new Map<number, Uint8Array>()
  const prereading = new Map<number, { readonly enough: Enough; readonly max: number; readonly number: number }>()

  let busyAt = 0

  const relay = Relay.make(slots, pipes, stash, {
    finished: (slot) => end(slot, false, finWhy[slots.firstFinisher[slot] === BACKEND ? BACKEND : CLIENT], 0),
    broken: (side, why) => broken(side, why),
    lookAfter: (slot, ms) => wheel.wakeAt(slot, relay.now + ms)
  })

  const listeners = Listeners.make(slots, epollFd, event, (listener) => LISTENER_TAG | listener, {
    accepted: (slot, listener, prerouteMs, address) => {
      const client = slot * 2 + CLIENT
      slots.listener[slot] = listener
      slots.bytes[client] = 0
      slots.bytes[client + 1] = 0
      flags[client] = 0
      slots.prerouteMs[slot] = prerouteMs
      slots.finishedAt[slot] = 0
      slots.dial[slot] = 0
      count(1, 1)
      enter(slot, WAITING, prerouteMs)
      const deaf = watch(client)
      words[messages.SLOT] = slot
      words[messages.GENERATION] = generation[slot] ?? 0
      words[messages.accepted.listener] = listener
      fromSockaddr(address, words, messages.accepted.address)
      outbox.send(messages.ACCEPTED, messages.accepted.words)
      if (deaf !== 0) end(slot, true, noRoom, deaf)
    },
    failed: (listener, why) => {
      words[messages.acceptFailed.listener] = listener
      words[messages.acceptFailed.errno] = why
      outbox.send(messages.ACCEPT_FAILED, messages.acceptFailed.words)
    },
    isFull: outbox.isFull,
    starved: () => Atomics.store(slots.header, header.starved, 1)
  })

  const fdOf = (side: number): number => (fds[side] ?? 0) - 1

  const count = (connections: number, sockets: number): void => {
    slots.header[header.connections] = (slots.header[header.connections] ?? 0) + connections
    slots.header[header.sockets] = (slots.header[header.sockets] ?? 0) + sockets
  }

  /** 0, or why the kernel does not take it. */
  const watch = (side: number): number => {
    event.set(WATCHED, side, generation[side >> 1] ?? 0)
    return epollCtl(epollFd, linux.EPOLL_CTL_ADD, fdOf(side), event.memory.address) < 0 ? errno() : 0
  }

  const enter = (slot: number, next: number, limitMs: number): void => {
    phase[slot] = next
    phaseSince[slot] = relay.now
    slots.lastByteAt[slot] = relay.now
    wheel.wakeAt(slot, relay.now + limitMs)
  }

  const tell = (kind: number, slot: number, second: number, third: number, length: number): void => {
    words[messages.SLOT] = slot
    words[messages.GENERATION] = generation[slot] ?? 0
    words[2] = second
    words[3] = third
    outbox.send(kind, length)
  }

  /** Unread bytes would turn an orderly close into a reset. Who sends without end is reset all the same. */
  const discardUnread = (fd: number): void => {
    for (let i = 0; i < DISCARDS; i++) {
      if (recv(fd, relay.buffer.address, relay.buffer.bytes.length, 0) <= 0) return
    }
  }

  const closeSide = (side: number, rst: boolean): void => {
    const fd = fdOf(side)
    if (fd < 0) return
    if (rst) resetOnClose(fd)
    else if (((flags[side] ?? 0) & (Slots.READABLE | Slots.FINISHED)) === Slots.READABLE) discardUnread(fd)
    // Out of the ledger first: a descriptor that is closed twice is somebody else's the second time.
    fds[side] = 0
    close(fd)
    count(0, -1)
  }

  const end = (slot: number, rst: boolean, why: number, code: number): void => {
    if (phase[slot] === FREE) return
    const client = slot * 2 + CLIENT
    const backend = slot * 2 + BACKEND
    // A side that has not taken everything never will: an orderly end would make what it has look complete.
    closeSide(client, rst || (held[backend] ?? 0) > 0)
    closeSide(backend, phase[slot] === RELAYING && (rst || (held[client] ?? 0) > 0))
    // What was put off to a later turn must not be done to whoever has the slot then.
    flags[client] = 0
    flags[backend] = 0
    relay.clear(slot)
    wheel.cancel(slot)
    preludes.delete(slot)
    prereading.delete(slot)
    words[messages.SLOT] = slot
    words[messages.GENERATION] = generation[slot] ?? 0
    words[messages.ended.why] = why
    words[messages.ended.errno] = code
    floats[messages.ended.bytesInF64 / 2] = slots.bytes[client] ?? 0
    floats[messages.ended.bytesOutF64 / 2] = slots.bytes[backend] ?? 0
    floats[messages.ended.firstByteUsF64 / 2] = (slots.bytes[backend] ?? 0) > 0 ? (slots.firstByteUs[slot] ?? -1) : -1
    outbox.send(messages.ENDED, messages.ended.words)
    phase[slot] = FREE
    slots.free(slot)
    count(-1, 0)
  }

  /** Nothing went either way, so that another backend can still have the client. */
  const isUntouched = (slot: number): boolean =>
    slots.bytes[slot * 2 + CLIENT] === 0 &&
    slots.bytes[slot * 2 + BACKEND] === 0 &&
    ((flags[slot * 2 + BACKEND] ?? 0) & Slots.FINISHED) === 0

  const broken = (side: number, why: number): void => {
    const slot = side >> 1
    const backend = slot * 2 + BACKEND
    if (side === backend && phase[slot] === RELAYING && isReset(why) && isUntouched(slot)) {
      dropBackend(slot)
      return tell(messages.UNBRIDGED, slot, slots.dial[slot] ?? 0, why, messages.unbridged.words)
    }
    const by = side === backend ? "backend" : "client"
    const at = lost[phase[slot] ?? WAITING] ?? "relay"
    end(slot, true, pack({ by, phase: at, cause: isReset(why) ? "rst" : "peer-lost" }), why)
  }

  /** The client waits for another backend. */
  const dropBackend = (slot: number): void => {
    const client = slot * 2 + CLIENT
    closeSide(slot * 2 + BACKEND, phase[slot] === RELAYING)
    flags[slot * 2 + BACKEND] = 0
    flags[client] = (flags[client] ?? 0) & ~(Slots.QUEUED | Slots.SHUT)
    relay.clear(slot)
    preludes.delete(slot)
    slots.finishedAt[slot] = 0
    enter(slot, WAITING, slots.prerouteMs[slot] ?? 0)
  }

  const failDial = (slot: number, why: number): void => {
    dropBackend(slot)
    tell(messages.DIAL_FAILED, slot, slots.dial[slot] ?? 0, why, messages.dialFailed.words)
  }

  const dial = (slot: number, source: Int32Array, numbers: Float64Array, at: number): void => {
    slots.dial[slot] = source[at + messages.bridge.dial] ?? 0
    slots.connectMs[slot] = source[at + messages.bridge.connectMs] ?? 0
    slots.keepaliveMs[slot] = source[at + messages.bridge.keepaliveMs] ?? 0
    slots.userTimeoutMs[slot] = source[at + messages.bridge.userTimeoutMs] ?? 0
    for (let i = 0; i < 4; i++) {
      slots.limits[slot * 4 + i] = numbers[(at + messages.bridge.limitsF64) / 2 + i] ?? 0
    }
    const preludeLength = source[at + messages.bridge.preludeLength] ?? 0
    if (preludeLength > 0) {
      const from = source.byteOffset + (at + messages.bridge.prelude) * 4
      preludes.set(slot, new Uint8Array(source.buffer, from, preludeLength).slice())
    }
    prereading.delete(slot)
    const backend = slot * 2 + BACKEND
    flags[backend] = 0
    enter(slot, DIALLING, slots.connectMs[slot] ?? 0)
    phaseSince[slot] = performance.now()
    const family = (source[at + messages.bridge.address] ?? 0) & 0xffff
    // Straight into the ledger, as at accept.
    fds[backend] = socket(family, SOCKET_TYPE, 0) + 1
    if (fds[backend] === 0) return failDial(slot, errno())
    count(0, 1)
    setNoDelay(fdOf(backend))
    const length = toSockaddr(source, at + messages.bridge.address, sockaddr.words)
    if (connect(fdOf(backend), sockaddr.address, length) < 0) {
      const why = errno()
      if (why !== linux.EINPROGRESS && why !== linux.EINTR) return failDial(slot, why)
    }
    const deaf = watch(backend)
    if (deaf !== 0) failDial(slot, deaf)
  }

  const connected = (slot: number): void => {
    const client = slot * 2 + CLIENT
    const backend = slot * 2 + BACKEND
    const connectUs = Math.max(0, Math.round((performance.now() - (phaseSince[slot] ?? 0)) * 1_000))
    phase[slot] = RELAYING
    phaseSince[slot] = relay.now
    slots.startedAt[slot] = relay.now
    slots.undelivered[slot] = 0
    slots.lastByteAt[slot] = relay.now
    flags[client] = ((flags[client] ?? 0) | Slots.WRITABLE) & ~Slots.SHUT
    const prelude = preludes.get(slot)
    if (prelude !== undefined) {
      preludes.delete(slot)
      relay.putFirst(client, prelude)
    }
    tell(messages.BRIDGED, slot, slots.dial[slot] ?? 0, connectUs, messages.bridged.words)
    if (((flags[client] ?? 0) & Slots.FINISHED) !== 0) slots.finishedAt[slot] = relay.now
    flags[backend] = (flags[backend] ?? 0) | Slots.YOUNG
    wheel.wakeAt(slot, relay.now + PATIENCE_AFTER_MS)
    checkLimits(slot)
    if (phase[slot] === RELAYING && relay.pump(client)) relay.pump(backend)
  }

  const times = { startedAt: 0, lastByteAt: 0, finishedAt: 0, clientStalledAt: 0, backendStalledAt: 0 }
  const limits = { idleMs: 0, finMs: 0, stallMs: 0, maxAgeMs: 0 }

  /** The kernel of a receiver that takes nothing from us may still be passing on what it has; that is no stall. */
  const lookAtQueue = (side: number): void => {
    if (slots.stalledAt[side] === 0) return
    const queue = unacknowledged(fdOf(side ^ 1))
    const before = slots.stalledQueue[side] ?? -1
    if (before >= 0 && queue < before) slots.stalledAt[side] = relay.now
    slots.stalledQueue[side] = queue
    wheel.wakeAt(side >> 1, relay.now + limits.stallMs / Relay.STALL_LOOKS)
  }

  /** Whether the kernels still bring a slow receiver what was read long ago; at first they get the benefit of the doubt. */
  const delivers = (slot: number): boolean => {
    const queue = unacknowledged(fdOf(slot * 2 + CLIENT)) + unacknowledged(fdOf(slot * 2 + BACKEND))
    const before = slots.undelivered[slot] ?? 0
    slots.undelivered[slot] = queue
    return queue > 0 && (before === 0 || queue < before)
  }

  const checkLimits = (slot: number): void => {
    const client = slot * 2 + CLIENT
    const backend = slot * 2 + BACKEND
    limits.idleMs = slots.limits[slot * 4] ?? 0
    limits.finMs = slots.limits[slot * 4 + 1] ?? 0
    limits.stallMs = slots.limits[slot * 4 + 2] ?? 0
    limits.maxAgeMs = slots.limits[slot * 4 + 3] ?? 0
    if (limits.stallMs > 0) {
      lookAtQueue(client)
      lookAtQueue(backend)
    }
    times.startedAt = slots.startedAt[slot] ?? 0
    times.lastByteAt = slots.lastByteAt[slot] ?? 0
    times.finishedAt = slots.finishedAt[slot] ?? 0
    times.backendStalledAt = slots.stalledAt[client] ?? 0
    times.clientStalledAt = slots.stalledAt[backend] ?? 0
    const next = relayDeadline(times, limits, relay.now)
    if (typeof next !== "number") {
      const patience = next.cause === "fin-timeout" ? limits.finMs : next.cause === "idle-timeout" ? limits.idleMs : 0
      if (patience === 0 || !delivers(slot)) return end(slot, true, pack(next), 0)
      wheel.wakeAt(slot, relay.now + patience / Relay.STALL_LOOKS)
    } else if (next < Infinity) wheel.wakeAt(slot, next)
  }

  /** Five calls that a short connection never needs are made when it turns out to be a longer one. */
  const grow = (slot: number): void => {
    const backend = slot * 2 + BACKEND
    if (((flags[backend] ?? 0) & Slots.YOUNG) === 0) return
    flags[backend] = (flags[backend] ?? 0) & ~Slots.YOUNG
    setPatience(fdOf(backend), slots.keepaliveMs[slot] ?? 0, slots.userTimeoutMs[slot] ?? 0)
  }

  const due = (slot: number): void => {
    const now = relay.now
    if (phase[slot] === RELAYING) {
      grow(slot)
      return checkLimits(slot)
    }
    const dialling = phase[slot] === DIALLING
    const limit = (dialling ? slots.connectMs[slot] : slots.prerouteMs[slot]) ?? 0
    const at = (phaseSince[slot] ?? 0) + limit
    if (now < at) return wheel.wakeAt(slot, at)
    if (dialling) return failDial(slot, linux.ETIMEDOUT)
    end(slot, true, prerouteTimeout, 0)
  }

  const lookAtFirst = (slot: number): void => {
    const asked = prereading.get(slot)
    if (asked === undefined) return
    const client = slot * 2 + CLIENT
    const count = recv(fdOf(client), relay.buffer.address, asked.max, linux.MSG_PEEK)
    const why = count < 0 ? errno() : 0
    if (count < 0 && why !== linux.EAGAIN && why !== linux.EINTR) return broken(client, why)
    const bytes = relay.buffer.bytes.subarray(0, Math.max(0, count))
    // What is there ends with the FIN if the kernel has told of one.
    const finished = ((flags[client] ?? 0) & Slots.HANGUP) !== 0
    const verdict = asked.enough(bytes, finished)
    if (verdict === "more" && bytes.length < asked.max) return
    prereading.delete(slot)
    const result =
      verdict === "more"
        ? messages.PREREAD_TOO_LONG
        : verdict === "malformed"
          ? messages.PREREAD_MALFORMED
          : messages.PREREAD_ENOUGH
    words[messages.prereadDone.number] = asked.number
    words[messages.prereadDone.length] = bytes.length
    new Uint8Array(words.buffer, messages.prereadDone.bytes * 4, bytes.length).set(bytes)
    const length = messages.prereadDone.bytes + Math.ceil(bytes.length / 4)
    words[messages.SLOT] = slot
    words[messages.GENERATION] = generation[slot] ?? 0
    words[messages.prereadDone.verdict] = result
    outbox.send(messages.PREREAD_DONE, length)
  }

  const consume = (slot: number, count: number): void => {
    for (let left = count; left > 0;) {
      const taken = recv(fdOf(slot * 2 + CLIENT), relay.buffer.address, Math.min(left, MAX_PREREAD), 0)
      if (taken <= 0) return
      left -= taken
    }
  }

  const onWaitingClient = (side: number, what: number): void => {
    const slot = side >> 1
    if ((what & (linux.EPOLLERR | linux.EPOLLHUP)) !== 0) {
      const why = pendingError(fdOf(side))
      const at = lost[phase[slot] ?? WAITING] ?? "relay"
      return end(slot, true, pack({ by: "client", phase: at, cause: "rst" }), why)
    }
    lookAtFirst(slot)
  }

  const onDialledBackend = (side: number, what: number): void => {
    const slot = side >> 1
    if ((what & linux.EPOLLERR) !== 0) return failDial(slot, pendingError(fdOf(side)) || linux.ECONNRESET)
    if ((what & linux.EPOLLHUP) !== 0) return failDial(slot, linux.ECONNRESET)
    if ((what & linux.EPOLLOUT) !== 0) connected(slot)
  }

  const onRelay = (side: number, what: number): void => {
    const other = side ^ 1
    // Who does not read it, because what came before is stuck or because it was at its end, has to ask.
    if ((what & linux.EPOLLERR) !== 0 && ((held[side] ?? 0) > 0 || ((flags[side] ?? 0) & Slots.FINISHED) !== 0)) {
      const why = pendingError(fdOf(side))
      if (why !== 0) return broken(side, why)
    }
    if ((held[other] ?? 0) > 0 && !relay.pump(other)) return
    relay.pump(side)
  }

  const clientOrBackend = (side: number, of: number, what: number): void => {
    const slot = side >> 1
    if (!slots.isCurrent(slot, of) || fdOf(side) < 0) return
    let flag = flags[side] ?? 0
    if ((what & (linux.EPOLLIN | linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) !== 0) flag |= Slots.READABLE
    if ((what & linux.EPOLLRDHUP) !== 0) flag |= Slots.HANGUP
    if ((what & linux.EPOLLERR) !== 0) flag |= Slots.FAILED
    if ((what & linux.EPOLLPRI) !== 0) flag |= Slots.URGENT
    if ((what & (linux.EPOLLOUT | linux.EPOLLHUP | linux.EPOLLERR)) !== 0) flag |= Slots.WRITABLE
    flags[side] = flag
    if (phase[slot] === RELAYING) onRelay(side, what)
    else if ((side & 1) === CLIENT) onWaitingClient(side, what)
    else onDialledBackend(side, what)
  }

  const command = (kind: number, source: Int32Array, numbers: Float64Array, at: number): void => {
    const first = source[at] ?? 0
    switch (kind) {
      case messages.LISTEN:
        return listeners.add(first, source[at + messages.listen.fd] ?? -1, source[at + messages.listen.prerouteMs] ?? 0)
      case messages.PAUSE:
        return listeners.pause(first)
      case messages.RESUME:
        return listeners.resume(first)
      case messages.CLOSE_LISTENER:
        listeners.close(first)
        words[0] = first
        return outbox.send(messages.LISTENER_CLOSED, 1)
      default:
    }
    if (!slots.isCurrent(first, source[at + messages.GENERATION] ?? 0)) return
    switch (kind) {
      case messages.BRIDGE:
        if (phase[first] === WAITING) return dial(first, source, numbers, at)
        // Not expected, but whoever asked waits for an answer.
        return tell(messages.DIAL_FAILED, first, source[at + messages.bridge.dial] ?? 0, 0, messages.dialFailed.words)
      case messages.CANCEL:
        if (phase[first] === WAITING || slots.dial[first] !== source[at + messages.cancel.dial]) return
        // It may have succeeded already, on the way to who has given it up.
        if (phase[first] === DIALLING || isUntouched(first)) dropBackend(first)
        else end(first, true, cancelled, 0)
        return
      case messages.ABORT:
        return end(first, source[at + messages.abort.rst] === 1, source[at + messages.abort.why] ?? internal, 0)
      case messages.PREREAD: {
        const enough = questions[source[at + messages.preread.question] ?? 0]
        if (phase[first] !== WAITING || enough === undefined) return
        prereading.set(first, {
          enough,
          max: Math.min(MAX_PREREAD, source[at + messages.preread.max] ?? 0),
          number: source[at + messages.preread.number] ?? 0
        })
        return lookAtFirst(first)
      }
      case messages.CONSUME:
        if (phase[first] === WAITING) consume(first, source[at + messages.consume.bytes] ?? 0)
        return
      default:
    }
  }

  return {
    clientOrBackend,
    listener: listeners.accept,
    command,
    finishTurn: () => {
      relay.resume()
      wheel.advance(relay.now, due)
      listeners.retry(relay.now)
      if (slots.header[header.connections] !== 0) busyAt = relay.now
      else if (relay.now - busyAt > PIPES_IDLE_MS) pipes.trim()
      slots.header[header.pipesOpen] = pipes.open()
      slots.header[header.heldBytes] = stash.size()
    },
    isIdle: relay.isIdle,
    beginTurn: relay.beginTurn,
    shut: () => {
      for (let slot = 0; slot < slots.capacity; slot++) {
        if (phase[slot] !== FREE) end(slot, true, pack({ by: "proxy", phase: "drain", cause: "forced" }), 0)
      }
      pipes.trim()
    }
  }
}
