import type { Termination } from "../../src/domain/Termination.ts"
import { NAME_ALERT } from "../../src/tls/nameAlert.ts"
import type { AbortHow } from "../../src/traffic/Transport.ts"
import type { EpollEvents } from "./EpollEvents.ts"
import * as Ahead from "./Ahead.ts"
import { close, send } from "./libc.ts"
import * as Limits from "./Limits.ts"
import * as linux from "./linux.ts"
import * as Listeners from "./Listeners.ts"
import * as messages from "./messages.ts"
import { isEstablished, pendingError, setKeepalive, unread } from "./options.ts"
import type { Outbox } from "./Outbox.ts"
import * as Pipes from "./Pipes.ts"
import * as Prereads from "./Prereads.ts"
import * as Relay from "./Relay.ts"
import * as Slots from "./Slots.ts"
import { AHEAD, BACKEND, CLIENT, DIALLING, FREE, RELAYING, WAITING, WARM } from "./Slots.ts"
import * as SlotWheel from "./SlotWheel.ts"
import * as Sockets from "./Sockets.ts"
import { fromSockaddr } from "./sockaddr.ts"
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
/** Without a connection for so long, the thread needs no pipes. */
const PIPES_IDLE_MS = 1_000
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

export const make = (slots: Slots.Slots, epollFd: number, event: EpollEvents, outbox: Outbox): DataPlane => {
  const { flags, generation, held, phase, phaseSince } = slots
  const { floats, words } = outbox
  const wheel = SlotWheel.make(slots.capacity, TICK_MS, performance.now())
  const stash = Stash.make()
  const pipes = Pipes.make(slots.pipeFds)
  const preludes = new Map<number, Uint8Array>()
  let busyAt = 0

  const relay = Relay.make(slots, pipes, stash, {
    finished: (slot) => end(slot, false, finWhy[slots.firstFinisher[slot] === BACKEND ? BACKEND : CLIENT], 0),
    broken: (side, why) => broken(side, why),
    isWarmGone: (side) => isWarmGone(side),
    lookAfter: (slot, ms) => wheel.wakeAt(slot, relay.now + ms)
  })
  const sockets = Sockets.make(slots, epollFd, event, relay.buffer)
  const ahead = Ahead.make(slots, sockets, outbox, wheel)
  const prereads = Prereads.make(slots, outbox, relay.buffer, (client, why) => broken(client, why))
  const limits = Limits.make(slots, {
    reached: (slot, why) => end(slot, true, pack(why), 0),
    lookAt: wheel.wakeAt
  })

  const listeners = Listeners.make(slots, epollFd, event, (listener) => LISTENER_TAG | listener, {
    accepted: (slot, listener, { prerouteMs, tellLocal }, address) => {
      const client = slot * 2 + CLIENT
      slots.bytes[client] = 0
      slots.bytes[client + 1] = 0
      flags[client] = 0
      slots.prerouteMs[slot] = prerouteMs
      slots.finishedAt[slot] = 0
      slots.dial[slot] = 0
      slots.undelivered[slot] = 0
      sockets.count(1, 1)
      enter(slot, WAITING, prerouteMs)
      const deaf = sockets.watch(client)
      words[messages.SLOT] = slot
      words[messages.GENERATION] = generation[slot] ?? 0
      words[messages.accepted.listener] = listener
      fromSockaddr(address, words, messages.accepted.address)
      words[messages.accepted.local] = 0
      if (tellLocal) sockets.readLocal(client, words, messages.accepted.local)
      outbox.send(messages.ACCEPTED, messages.accepted.words)
      if (deaf !== 0) end(slot, true, noRoom, deaf)
    },
    failed: (listener, why) => {
      words[messages.acceptFailed.listener] = listener
      words[messages.acceptFailed.errno] = why
      outbox.send(messages.ACCEPT_FAILED, messages.acceptFailed.words)
    },
    closed: (listener) => {
      words[0] = listener
      outbox.send(messages.LISTENER_CLOSED, 1)
    },
    isFull: outbox.isFull,
    starved: () => Atomics.store(slots.header, header.starved, 1)
  })

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

  /** Something of what a side has sent was not passed on. */
  const hasMore = (side: number): boolean =>
    (held[side] ?? 0) > 0 || (((flags[side] ?? 0) & Slots.FINISHED) === 0 && unread(sockets.fdOf(side)) > 0)

  const end = (slot: number, rst: boolean, why: number, code: number): void => {
    if (phase[slot] === FREE) return
    const client = slot * 2 + CLIENT
    const backend = slot * 2 + BACKEND
    // A side that has not taken everything never will: an orderly end would make what it has look complete.
    const relaying = phase[slot] === RELAYING
    const cutClient = rst || (relaying && hasMore(backend))
    const cutBackend = relaying && (rst || hasMore(client))
    sockets.close(client, cutClient)
    sockets.close(backend, cutBackend)
    // What was put off to a later turn must not be done to whoever has the slot then.
    flags[client] = 0
    flags[backend] = 0
    relay.clear(slot)
    wheel.cancel(slot)
    preludes.delete(slot)
    prereads.forget(slot)
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
    sockets.count(-1, 0)
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
      const warmed = ((flags[backend] ?? 0) & Slots.WARMED) !== 0
      dropBackend(slot)
      const error = warmed ? messages.WARM_GONE : why
      return tell(messages.UNBRIDGED, slot, slots.dial[slot] ?? 0, error, messages.unbridged.words)
    }
    const by = side === backend ? "backend" : "client"
    const at = lost[phase[slot] ?? WAITING] ?? "relay"
    end(slot, true, pack({ by, phase: at, cause: isReset(why) ? "rst" : "peer-lost" }), why)
  }

  /** The client waits for another backend. */
  const dropBackend = (slot: number): void => {
    const client = slot * 2 + CLIENT
    sockets.close(slot * 2 + BACKEND, phase[slot] === RELAYING)
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

  const dial = (slot: number, source: Int32Array, numbers: Float64Array, at: number, handed: number): void => {
    slots.dial[slot] = source[at + messages.bridge.dial] ?? 0
    slots.connectMs[slot] = source[at + messages.bridge.connectMs] ?? 0
    slots.keepaliveMs[slot] = source[at + messages.bridge.keepaliveMs] ?? 0
    for (let i = 0; i < 4; i++) {
      slots.limits[slot * 4 + i] = numbers[(at + messages.bridge.limitsF64) / 2 + i] ?? 0
    }
    const preludeLength = source[at + messages.bridge.preludeLength] ?? 0
    if (preludeLength > 0) {
      const from = source.byteOffset + (at + messages.bridge.prelude) * 4
      preludes.set(slot, new Uint8Array(source.buffer, from, preludeLength).slice())
    }
    prereads.forget(slot)
    const backend = slot * 2 + BACKEND
    flags[backend] = 0
    enter(slot, DIALLING, slots.connectMs[slot] ?? 0)
    phaseSince[slot] = performance.now()
    if (handed >= 0) return adopt(slot, handed)
    const refused = sockets.dial(backend, source, at + messages.bridge.address)
    if (refused !== 0) failDial(slot, refused)
  }

  /** Gives the client a connection that was opened ahead. Nothing is read from one before, so all it says is the client's. */
  const adopt = (slot: number, fd: number): void => {
    const backend = slot * 2 + BACKEND
    // The ledger first: when this thread dies in between, what is in neither is closed by the control side.
    slots.fds[backend] = fd + 1
    settleHanded()
    sockets.count(0, 1)
    flags[backend] = Slots.WRITABLE | Slots.WARMED
    if (!isEstablished(fd)) return failDial(slot, messages.WARM_GONE)
    const deaf = sockets.watch(backend)
    if (deaf !== 0) return failDial(slot, deaf)
    connected(slot)
  }

  const abort = (slot: number, how: AbortHow | undefined, why: number): void => {
    if (how === "name-alert" && phase[slot] === WAITING) {
      relay.buffer.bytes.set(NAME_ALERT)
      // Who can't be told, because he has gone, has ended.
      send(sockets.fdOf(slot * 2 + CLIENT), relay.buffer.address, NAME_ALERT.length, linux.MSG_NOSIGNAL)
    }
    end(slot, how === "rst", why, 0)
  }

  const settleHanded = (): void => {
    slots.header[header.adopted] = ((slots.header[header.adopted] ?? 0) + 1) | 0
  }

  /** Its client is not there any more, or is served otherwise. */
  const dropHanded = (fd: number): void => {
    if (fd < 0) return
    settleHanded()
    close(fd)
  }

  /** One that was opened ahead is closed before anything went either way: so was it when it was handed over. */
  const isWarmGone = (side: number): boolean => {
    const slot = side >> 1
    const isBackend = (side & 1) === BACKEND && ((flags[side] ?? 0) & Slots.WARMED) !== 0
    if (!isBackend || !isUntouched(slot) || ((flags[side ^ 1] ?? 0) & Slots.FINISHED) !== 0) return false
    dropBackend(slot)
    tell(messages.UNBRIDGED, slot, slots.dial[slot] ?? 0, messages.WARM_GONE, messages.unbridged.words)
    return true
  }

  /**
   * The control side can be so quick that the kernel has not been asked about the client since it was accepted, and a reset
   * may have waited with it in the backlog.
   */
  const isGone = (slot: number): boolean => {
    if (phaseSince[slot] !== relay.now) return false
    const client = slot * 2 + CLIENT
    const why = pendingError(sockets.fdOf(client))
    if (why !== 0) broken(client, why)
    return why !== 0
  }

  const connected = (slot: number): void => {
    const client = slot * 2 + CLIENT
    const backend = slot * 2 + BACKEND
    const connectUs = Math.max(0, Math.round((performance.now() - (phaseSince[slot] ?? 0)) * 1_000))
    phase[slot] = RELAYING
    phaseSince[slot] = relay.now
    slots.startedAt[slot] = relay.now
    slots.lastByteAt[slot] = relay.now
    flags[client] = ((flags[client] ?? 0) | Slots.WRITABLE) & ~Slots.SHUT
    const prelude = preludes.get(slot)
    if (prelude !== undefined) {
      preludes.delete(slot)
      relay.putFirst(client, prelude)
    }
    tell(messages.BRIDGED, slot, slots.dial[slot] ?? 0, connectUs, messages.bridged.words)
    if (((flags[client] ?? 0) & Slots.FINISHED) !== 0) slots.finishedAt[slot] = relay.now
    // One that was opened ahead has it already.
    if (((flags[backend] ?? 0) & Slots.WARMED) === 0) flags[backend] = (flags[backend] ?? 0) | Slots.YOUNG
    wheel.wakeAt(slot, relay.now + PATIENCE_AFTER_MS)
    limits.check(slot, relay.now)
    if (phase[slot] === RELAYING && relay.pump(client)) relay.pump(backend)
  }

  /** Four calls that a short connection never needs are made when it turns out to be a longer one. */
  const grow = (slot: number): void => {
    const backend = slot * 2 + BACKEND
    if (((flags[backend] ?? 0) & Slots.YOUNG) === 0) return
    flags[backend] = (flags[backend] ?? 0) & ~Slots.YOUNG
    setKeepalive(sockets.fdOf(backend), slots.keepaliveMs[slot] ?? 0)
  }

  const due = (slot: number): void => {
    const now = relay.now
    if (phase[slot] === RELAYING) {
      grow(slot)
      return limits.check(slot, now)
    }
    if (phase[slot] === AHEAD) return ahead.due(slot, now)
    const dialling = phase[slot] === DIALLING
    const limit = (dialling ? slots.connectMs[slot] : slots.prerouteMs[slot]) ?? 0
    const at = (phaseSince[slot] ?? 0) + limit
    if (now < at) return wheel.wakeAt(slot, at)
    if (dialling) return failDial(slot, linux.ETIMEDOUT)
    end(slot, true, prerouteTimeout, 0)
  }

  const onWaitingClient = (side: number, what: number): void => {
    const slot = side >> 1
    if ((what & (linux.EPOLLERR | linux.EPOLLHUP)) !== 0) {
      const why = pendingError(sockets.fdOf(side))
      const at = lost[phase[slot] ?? WAITING] ?? "relay"
      return end(slot, true, pack({ by: "client", phase: at, cause: "rst" }), why)
    }
    prereads.look(slot)
  }

  const onDialledBackend = (side: number, what: number): void => {
    const slot = side >> 1
    if ((what & linux.EPOLLERR) !== 0) return failDial(slot, pendingError(sockets.fdOf(side)) || linux.ECONNRESET)
    if ((what & linux.EPOLLHUP) !== 0) return failDial(slot, linux.ECONNRESET)
    if ((what & linux.EPOLLOUT) !== 0) connected(slot)
  }

  const onRelay = (side: number, what: number): void => {
    const other = side ^ 1
    // Who does not read it, because what came before is stuck or because it was at its end, has to ask.
    if ((what & linux.EPOLLERR) !== 0 && ((held[side] ?? 0) > 0 || ((flags[side] ?? 0) & Slots.FINISHED) !== 0)) {
      const why = pendingError(sockets.fdOf(side))
      if (why !== 0) return broken(side, why)
    }
    if ((held[other] ?? 0) > 0 && !relay.pump(other)) return
    relay.pump(side)
  }

  const clientOrBackend = (side: number, of: number, what: number): void => {
    const slot = side >> 1
    if (!slots.isCurrent(slot, of) || sockets.fdOf(side) < 0) return
    let flag = flags[side] ?? 0
    if ((what & (linux.EPOLLIN | linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) !== 0) flag |= Slots.READABLE
    if ((what & linux.EPOLLRDHUP) !== 0) flag |= Slots.HANGUP
    if ((what & linux.EPOLLERR) !== 0) flag |= Slots.FAILED
    if ((what & linux.EPOLLPRI) !== 0) flag |= Slots.URGENT
    if ((what & (linux.EPOLLOUT | linux.EPOLLHUP | linux.EPOLLERR)) !== 0) flag |= Slots.WRITABLE
    flags[side] = flag
    if (phase[slot] === RELAYING) onRelay(side, what)
    else if (phase[slot] === AHEAD || phase[slot] === WARM) ahead.hear(slot, what)
    else if ((side & 1) === CLIENT) onWaitingClient(side, what)
    else onDialledBackend(side, what)
  }

  const command = (kind: number, source: Int32Array, numbers: Float64Array, at: number): void => {
    const first = source[at] ?? 0
    switch (kind) {
      case messages.LISTEN:
        return listeners.add(first, source[at + messages.listen.fd] ?? -1, {
          prerouteMs: source[at + messages.listen.prerouteMs] ?? 0,
          tellLocal: source[at + messages.listen.tellLocal] === 1
        })
      case messages.PAUSE:
        return listeners.pause(first)
      case messages.RESUME:
        return listeners.resume(first)
      case messages.CLOSE_LISTENER:
        return listeners.close(first)
      case messages.WARM:
        return ahead.open(source, at)
      case messages.DISCARD:
        return ahead.discard(first)
      default:
    }
    const handed = kind === messages.BRIDGE ? (source[at + messages.bridge.warmFd] ?? 0) - 1 : -1
    if (!slots.isCurrent(first, source[at + messages.GENERATION] ?? 0)) return dropHanded(handed)
    switch (kind) {
      case messages.BRIDGE:
        if (phase[first] === WAITING && !isGone(first)) return dial(first, source, numbers, at, handed)
        dropHanded(handed)
        // It has ended meanwhile.
        if (phase[first] === FREE) return
        // Not expected, but whoever asked waits for an answer.
        return tell(messages.DIAL_FAILED, first, source[at + messages.bridge.dial] ?? 0, 0, messages.dialFailed.words)
      case messages.CANCEL:
        if (phase[first] === WAITING || slots.dial[first] !== source[at + messages.cancel.dial]) return
        // It may have succeeded already, on the way to who has given it up.
        if (phase[first] === DIALLING || isUntouched(first)) dropBackend(first)
        else end(first, true, cancelled, 0)
        return
      case messages.ABORT:
        return abort(
          first,
          messages.hows[source[at + messages.abort.how] ?? 0],
          source[at + messages.abort.why] ?? internal
        )
      case messages.PREREAD:
        if (phase[first] !== WAITING) return
        return prereads.ask(first, {
          question: source[at + messages.preread.question] ?? 0,
          max: source[at + messages.preread.max] ?? 0,
          number: source[at + messages.preread.number] ?? 0
        })
      case messages.CONSUME:
        if (phase[first] === WAITING) prereads.consume(first, source[at + messages.consume.bytes] ?? 0)
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
      ahead.shut()
      for (let slot = 0; slot < slots.capacity; slot++) {
        if (phase[slot] !== FREE) end(slot, true, pack({ by: "proxy", phase: "drain", cause: "forced" }), 0)
      }
      pipes.trim()
    }
  }
}
