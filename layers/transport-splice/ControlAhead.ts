import { dialError, warmGone } from "../../src/traffic/errno.ts"
import type { WarmEvents, WarmId, WarmOptions } from "../../src/traffic/Transport.ts"
import { fromEndpoint } from "./addresses.ts"
import type { DataThread } from "./DataThread.ts"
import { epollCtl, interfaceIndex } from "./libc.ts"
import { EPOLL_CTL_DEL, errnoName } from "./linux.ts"
import * as messages from "./messages.ts"
import { BACKEND } from "./Slots.ts"
import { header } from "./ThreadMemory.ts"

/** What the control side knows of the connections that its threads have opened ahead. */
export interface ControlAhead {
  readonly open: (options: WarmOptions, events: WarmEvents) => WarmId
  readonly discard: (id: WarmId) => void
  /** The descriptor of an open one, which is the caller's from now on and in nobody's ledger. */
  readonly take: (id: WarmId) => number | undefined
  /** A thread has said something of one. */
  readonly hear: (kind: number, words: Int32Array, at: number) => void
  /** A thread is dead: what it had opened is lost. */
  readonly lose: (index: number) => void
  readonly size: () => number
}

interface Entry {
  readonly index: number
  readonly events: WarmEvents
  /** Where it is in the thread's ledger; -1 until it is open. */
  slot: number
}

const LARGEST_NUMBER = 0x7fff_ffff

/** `said` is told of the thread that something was said to. */
export const make = (threads: ReadonlyArray<DataThread>, said: (index: number) => void): ControlAhead => {
  const entries = new Map<WarmId, Entry>()
  let last = 0
  let turn = 0

  const forget = (id: WarmId, { index }: Entry): void => {
    entries.delete(id)
    const { outbox } = threads[index] ?? {}
    if (outbox === undefined) return
    outbox.words[0] = id
    outbox.send(messages.DISCARD, 1)
    said(index)
  }

  return {
    open: (options, events) => {
      do last = last === LARGEST_NUMBER ? 1 : last + 1
      while (entries.has(last))
      const id = last
      const index = turn++ % threads.length
      const thread = threads[index]
      const address = fromEndpoint(options.address, interfaceIndex)
      if (thread === undefined || address === undefined) {
        queueMicrotask(() => events.onWarmLost(id, dialError("EINVAL")))
        return id
      }
      entries.set(id, { index, events, slot: -1 })
      const { words } = thread.outbox
      words[messages.warm.number] = id
      words[messages.warm.connectMs] = options.connectMs
      words[messages.warm.keepaliveMs] = options.keepaliveMs
      words.set(address, messages.warm.address)
      thread.outbox.send(messages.WARM, messages.warm.words)
      said(index)
      return id
    },
    discard: (id) => {
      const entry = entries.get(id)
      if (entry !== undefined) forget(id, entry)
    },
    take: (id) => {
      const entry = entries.get(id)
      const { view } = threads[entry?.index ?? -1] ?? {}
      if (entry === undefined || view === undefined) return undefined
      const side = entry.slot * 2 + BACKEND
      const inLedger = entry.slot < 0 ? 0 : Atomics.load(view.fds, side)
      // Its thread may be giving it up right now. Else it is taken in this one step.
      const isTaken = inLedger > 0 && Atomics.compareExchange(view.fds, side, inLedger, 0) === inLedger
      if (isTaken) epollCtl((view.header[header.epollFd] ?? 0) - 1, EPOLL_CTL_DEL, inLedger - 1, 0)
      forget(id, entry)
      return isTaken ? inLedger - 1 : undefined
    },
    hear: (kind, words, at) => {
      const id = words[at + messages.warmOpen.number] ?? 0
      const slot = words[at + messages.warmOpen.slot] ?? -1
      const entry = entries.get(id)
      if (kind === messages.WARM_OPEN) {
        if (entry === undefined) return
        entry.slot = slot
        return entry.events.onWarm(id, words[at + messages.warmOpen.connectUs] ?? 0)
      }
      const opened = entry !== undefined && entry.slot >= 0
      entries.delete(id)
      const errno = words[at + messages.warmLost.errno] ?? 0
      const code = errno === 0 ? "FIN" : errnoName(errno)
      entry?.events.onWarmLost(id, opened ? warmGone(code) : dialError(code))
    },
    lose: (index) => {
      const lost = [...entries].filter(([, entry]) => entry.index === index)
      for (const [id] of lost) entries.delete(id)
      for (const [id, { events }] of lost) events.onWarmLost(id, warmGone("ENGINE_LOST", "proxy"))
    },
    size: () => entries.size
  }
}
