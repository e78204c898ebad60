import type { Termination } from "../../src/domain/Termination.ts"
import { dialError, gone, warmGone } from "../../src/traffic/errno.ts"
import { type Preread, prereads } from "../../src/traffic/Preread.ts"
import {
  type AbortHow,
  type Accepted,
  type BridgeOptions,
  type Bridged,
  type ConnectionId,
  type DialError,
  type ListenerEvents,
  type LiveCounts,
  MAX_PRELUDE,
  PrereadError
} from "../../src/traffic/Transport.ts"
import { fromEndpoint, toEndpoint } from "./addresses.ts"
import type { ControlAhead } from "./ControlAhead.ts"
import { generationOf, idOf, slotOf } from "./connectionIds.ts"
import type { DataThread } from "./DataThread.ts"
import { close, interfaceIndex } from "./libc.ts"
import { errnoName } from "./linux.ts"
import * as messages from "./messages.ts"
import { header, monotonicOrigin, places } from "./ThreadMemory.ts"

type DialResult = (result: Bridged | DialError) => void
type PrereadResult = (result: Uint8Array | PrereadError) => void

/** What the control side knows of one thread's connections, and says to it of them. */
export interface ControlSide {
  readonly bridge: (id: ConnectionId, options: BridgeOptions, done: DialResult) => void
  readonly cancelBridge: (id: ConnectionId) => void
  readonly preread: (id: ConnectionId, question: Preread, max: number, done: PrereadResult) => void
  readonly cancelPreread: (id: ConnectionId) => void
  readonly consume: (id: ConnectionId, bytes: number) => void
  readonly abort: (id: ConnectionId, how: AbortHow, why: Termination) => void
  readonly counts: (id: ConnectionId, out: LiveCounts) => boolean
  /** Hears what the thread has said, at most so many messages; false when there may be more. */
  readonly hear: (most: number) => boolean
  /** The thread is dead: what it still carried has ended. */
  readonly lose: () => void
  readonly connections: () => number
  /** Messages to the thread that wait. */
  readonly waiting: () => number
}

export interface ControlEvents {
  readonly of: (listener: number) => ListenerEvents | undefined
  readonly began: (listener: number) => void
  readonly ended: (listener: number) => void
  readonly listenerClosed: (listener: number) => void
  /** Something was said to the thread. */
  readonly said: () => void
}

/** Of a connection that is open: nothing asked, dialling or bridged. */
const IDLE = 0
const DIALS = 1
const FLOWS = 2

const dialFailure = (errno: number): DialError => {
  if (errno === messages.WARM_GONE) return warmGone("GONE")
  return errno === 0 ? gone() : dialError(errnoName(errno))
}

const origin = monotonicOrigin()
const questions = Object.keys(prereads)
const engineLost = { by: "proxy", phase: "relay", cause: "engine-lost" } as const

export const make = (
  index: number,
  thread: DataThread,
  taken: Int32Array,
  ahead: ControlAhead,
  events: ControlEvents
): ControlSide => {
  const { view } = thread
  const slots = view.generation.length
  // The generation of the connection that is open in a slot, until its end has been heard of; 0 for none.
  const open = new Int32Array(slots)
  const listenerOf = new Int32Array(slots)
  const state = new Uint8Array(slots)
  const dialNumber = new Int32Array(slots)
  const dials = new Map<number, DialResult>()
  const prereading = new Map<number, { readonly number: number; readonly done: PrereadResult }>()
  // Descriptors of connections opened ahead that the thread was given, from the first that it may not have taken over.
  let handed: Array<number> = []
  let adopted = 0
  let prereadCount = 0
  let count = 0
  let batch: Array<Accepted> = []
  let batchListener = -1

  // No connection is of generation 0, whatever a stranger's number says.
  const isOpen = (id: ConnectionId): boolean => generationOf(id) !== 0 && open[slotOf(id)] === generationOf(id)

  const say = (kind: number, id: ConnectionId, words: number): void => {
    const { outbox } = thread
    outbox.words[messages.SLOT] = slotOf(id)
    outbox.words[messages.GENERATION] = generationOf(id)
    outbox.send(kind, words)
    events.said()
  }

  /** Forgets those that the thread has taken over: it does so in order, and counts them. */
  const settleHanded = (): void => {
    const settled = ((view.header[header.adopted] ?? 0) - adopted) | 0
    if (settled <= 0) return
    handed = handed.slice(settled)
    adopted = (adopted + settled) | 0
  }

  const answerDial = (slot: number, result: Bridged | DialError): void => {
    const done = dials.get(slot)
    dials.delete(slot)
    done?.(result)
  }

  const answerPreread = (slot: number, result: Uint8Array | PrereadError): void => {
    const asked = prereading.get(slot)
    prereading.delete(slot)
    asked?.done(result)
  }

  const flushAccepted = (): void => {
    if (batch.length === 0) return
    const accepted = batch
    batch = []
    events.of(batchListener)?.onAccept(accepted)
  }

  const onAccepted = (words: Int32Array, at: number): void => {
    const slot = words[at + messages.SLOT] ?? 0
    const generation = words[at + messages.GENERATION] ?? 0
    const listener = words[at + messages.accepted.listener] ?? 0
    open[slot] = generation
    listenerOf[slot] = listener
    state[slot] = IDLE
    count++
    events.began(listener)
    if (listener !== batchListener) flushAccepted()
    batchListener = listener
    const id = idOf(index, slot, generation)
    const remote = toEndpoint(words, at + messages.accepted.address)
    const local = at + messages.accepted.local
    batch.push(words[local] === 0 ? { id, remote } : { id, remote, local: toEndpoint(words, local) })
  }

  const endOf = (
    slot: number,
    why: Termination,
    bytesIn: number,
    bytesOut: number,
    firstByteUs: number,
    errno: number
  ): void => {
    const id = idOf(index, slot, open[slot] ?? 0)
    // It had been told to dial, if it did not come to that.
    const phase = why.phase === "pre-route" && state[slot] === DIALS ? "dial" : why.phase
    Atomics.store(view.heard, slot, open[slot] ?? 0)
    open[slot] = 0
    count--
    Atomics.sub(view.header, header.places, 1)
    Atomics.sub(taken, places.taken, 1)
    // Errors are made only for those who wait: their stack traces would cost more than all the rest.
    if (dials.has(slot)) answerDial(slot, gone())
    if (prereading.has(slot)) {
      answerPreread(slot, new PrereadError({ reason: why.cause === "preroute-timeout" ? "Deadline" : "Gone" }))
    }
    const listener = listenerOf[slot] ?? 0
    events.of(listener)?.onEnd([
      {
        id,
        by: why.by,
        phase,
        cause: why.cause,
        bytesIn,
        bytesOut,
        firstByteUs: firstByteUs < 0 ? undefined : firstByteUs,
        code: errno === 0 ? undefined : errnoName(errno)
      }
    ])
    events.ended(listener)
  }

  const onPreread = (slot: number, words: Int32Array, at: number): void => {
    // It may be of one that was given up or asked anew.
    if (words[at + messages.prereadDone.number] !== prereading.get(slot)?.number) return
    const verdict = words[at + messages.prereadDone.verdict]
    if (verdict !== messages.PREREAD_ENOUGH) {
      return answerPreread(
        slot,
        new PrereadError({ reason: verdict === messages.PREREAD_MALFORMED ? "Malformed" : "TooLong" })
      )
    }
    const from = words.byteOffset + (at + messages.prereadDone.bytes) * 4
    const length = words[at + messages.prereadDone.length] ?? 0
    answerPreread(slot, new Uint8Array(words.buffer, from, length).slice())
  }

  const hearOne = (kind: number, words: Int32Array, floats: Float64Array, at: number): void => {
    if (kind === messages.ACCEPTED) return onAccepted(words, at)
    flushAccepted()
    const first = words[at] ?? 0
    switch (kind) {
      case messages.ACCEPT_FAILED: {
        const code = errnoName(words[at + messages.acceptFailed.errno] ?? 0)
        return events.of(first)?.onAcceptError({ code, count: 1 })
      }
      case messages.LISTENER_CLOSED:
        return events.listenerClosed(first)
      case messages.WARM_OPEN:
        return ahead.hear(kind, words, at)
      case messages.WARM_LOST:
        if (first >= 0) Atomics.store(view.heard, first, words[at + messages.warmLost.generation] ?? 0)
        return ahead.hear(kind, words, at)
      default:
    }
    if (open[first] !== words[at + messages.GENERATION] || open[first] === 0) return
    switch (kind) {
      case messages.ENDED:
        return endOf(
          first,
          messages.unpackWhy(words[at + messages.ended.why] ?? 0),
          floats[(at + messages.ended.bytesInF64) / 2] ?? 0,
          floats[(at + messages.ended.bytesOutF64) / 2] ?? 0,
          floats[(at + messages.ended.firstByteUsF64) / 2] ?? -1,
          words[at + messages.ended.errno] ?? 0
        )
      case messages.BRIDGED:
        if (dialNumber[first] !== words[at + messages.bridged.dial]) return
        state[first] = FLOWS
        return answerDial(first, { connectUs: words[at + messages.bridged.connectUs] ?? 0 })
      case messages.DIAL_FAILED:
        if (dialNumber[first] !== words[at + messages.dialFailed.dial]) return
        state[first] = IDLE
        return answerDial(first, dialFailure(words[at + messages.dialFailed.errno] ?? 0))
      case messages.UNBRIDGED: {
        if (dialNumber[first] !== words[at + messages.unbridged.dial]) return
        state[first] = IDLE
        const error = dialFailure(words[at + messages.unbridged.errno] ?? 0)
        return events.of(listenerOf[first] ?? 0)?.onUnbridged(idOf(index, first, open[first] ?? 0), error)
      }
      case messages.PREREAD_DONE:
        return onPreread(first, words, at)
      default:
    }
  }

  return {
    bridge: (id, options, done) => {
      const slot = slotOf(id)
      const { prelude, warm } = options
      const refuse = (error: DialError): void => {
        if (warm !== undefined) ahead.discard(warm)
        done(error)
      }
      if (!isOpen(id) || state[slot] !== IDLE) return refuse(gone())
      // A bridge takes the bytes that were to be looked at.
      if (prereading.has(slot)) answerPreread(slot, new PrereadError({ reason: "Gone" }))
      const address = fromEndpoint(options.address, interfaceIndex)
      if (address === undefined) return refuse(dialError("EINVAL"))
      if (prelude !== undefined && prelude.length > MAX_PRELUDE) return refuse(dialError("EMSGSIZE"))
      const fd = warm === undefined ? -1 : (ahead.take(warm) ?? -1)
      if (warm !== undefined && fd < 0) return done(warmGone("GONE"))
      settleHanded()
      if (fd >= 0) handed.push(fd)
      const number = (dialNumber[slot] = ((dialNumber[slot] ?? 0) + 1) | 0)
      state[slot] = DIALS
      dials.set(slot, done)
      const { floats, words } = thread.outbox
      const { bridge } = messages
      words[bridge.dial] = number
      words[bridge.connectMs] = options.connectMs
      words.set(address, bridge.address)
      words[bridge.keepaliveMs] = options.keepaliveMs
      words[bridge.preludeLength] = prelude?.length ?? 0
      words[bridge.warmFd] = fd + 1
      floats[bridge.limitsF64 / 2] = options.limits.idleMs
      floats[bridge.limitsF64 / 2 + 1] = options.limits.finMs
      floats[bridge.limitsF64 / 2 + 2] = options.limits.stallMs
      floats[bridge.limitsF64 / 2 + 3] = options.limits.maxAgeMs
      if (prelude !== undefined) new Uint8Array(words.buffer, bridge.prelude * 4, prelude.length).set(prelude)
      say(messages.BRIDGE, id, bridge.prelude + Math.ceil((prelude?.length ?? 0) / 4))
    },
    cancelBridge: (id) => {
      const slot = slotOf(id)
      if (!isOpen(id) || state[slot] !== DIALS) return
      dials.delete(slot)
      state[slot] = IDLE
      thread.outbox.words[messages.cancel.dial] = dialNumber[slot] ?? 0
      // What the thread may have answered meanwhile is an answer to nobody.
      dialNumber[slot] = ((dialNumber[slot] ?? 0) + 1) | 0
      say(messages.CANCEL, id, messages.cancel.words)
    },
    preread: (id, question, max, done) => {
      if (!isOpen(id) || state[slotOf(id)] !== IDLE) return done(new PrereadError({ reason: "Gone" }))
      if (prereading.has(slotOf(id))) answerPreread(slotOf(id), new PrereadError({ reason: "Gone" }))
      const number = (prereadCount = (prereadCount + 1) | 0)
      prereading.set(slotOf(id), { number, done })
      thread.outbox.words[messages.preread.number] = number
      thread.outbox.words[messages.preread.question] = questions.indexOf(question)
      thread.outbox.words[messages.preread.max] = max
      say(messages.PREREAD, id, messages.preread.words)
    },
    cancelPreread: (id) => {
      if (isOpen(id)) prereading.delete(slotOf(id))
    },
    consume: (id, bytes) => {
      if (!isOpen(id)) return
      thread.outbox.words[messages.consume.bytes] = bytes
      say(messages.CONSUME, id, messages.consume.words)
    },
    abort: (id, how, why) => {
      if (!isOpen(id)) return
      thread.outbox.words[messages.abort.how] = messages.hows.indexOf(how)
      thread.outbox.words[messages.abort.why] = messages.packWhy(why)
      say(messages.ABORT, id, messages.abort.words)
    },
    counts: (id, out) => {
      if (!isOpen(id)) return false
      const slot = slotOf(id)
      out.bytesIn = view.bytes[slot * 2] ?? 0
      out.bytesOut = view.bytes[slot * 2 + 1] ?? 0
      const lastByteAt = (view.clock[0] ?? 0) + (view.lastByteAt[slot] ?? 0)
      out.idleMs = Math.max(0, origin + performance.now() - lastByteAt)
      out.waiting = (view.held[slot * 2] ?? 0) + (view.held[slot * 2 + 1] ?? 0)
      return true
    },
    hear: (most) => {
      const { floats, inbox } = thread
      for (let i = 0; i < most; i++) {
        const at = inbox.next()
        if (at < 0) {
          flushAccepted()
          return true
        }
        try {
          hearOne(inbox.kind(), inbox.words, floats, at)
        } finally {
          inbox.done()
        }
      }
      flushAccepted()
      return false
    },
    lose: () => {
      for (let slot = 0; slot < slots; slot++) {
        if (open[slot] === 0) continue
        endOf(slot, engineLost, view.bytes[slot * 2] ?? 0, view.bytes[slot * 2 + 1] ?? 0, -1, 0)
      }
      settleHanded()
      // The last one may be in the ledger, and not counted yet.
      for (const fd of handed) if (!view.fds.includes(fd + 1)) close(fd)
      handed = []
      adopted = 0
      // Of clients that were not told of before the thread died.
      Atomics.sub(taken, places.taken, Atomics.exchange(view.header, header.places, 0))
    },
    connections: () => count,
    // Another one when the thread has been replaced.
    waiting: () => thread.outbox.size()
  }
}
