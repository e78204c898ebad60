import * as Effect from "effect/Effect"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import type { Endpoint, ListenError, ListenerEvents, ListenOptions } from "../../src/traffic/Transport.ts"
import type { DataThread } from "./DataThread.ts"
import { close } from "./libc.ts"
import { listenSocket } from "./listenSocket.ts"
import * as messages from "./messages.ts"

/** The listening sockets of the engine. They are the control side's; threads are told to accept from them. */
export interface ControlListeners {
  /** Opens the sockets and has the threads accept; gives the listener's number and address. */
  readonly open: (
    options: ListenOptions,
    events: ListenerEvents
  ) => Effect.Effect<{ readonly listener: number; readonly address: Endpoint }, ListenError>
  /** Completes when what waited in the accept queues has been taken, and the sockets are closed. */
  readonly close: (listener: number) => Effect.Effect<void>
  readonly setPaused: (listener: number, paused: boolean) => void
  /** Whom to tell of a listener's connections; also when it is closed, until the last of them has ended. */
  readonly events: (listener: number) => ListenerEvents | undefined
  /** One of its connections has begun. */
  readonly began: (listener: number) => void
  /** One of its connections has ended, and whom to tell has been told. */
  readonly ended: (listener: number) => void
  /** A thread has taken what waited and forgotten the listener. */
  readonly acknowledge: (listener: number, index: number) => void
  /** Tells a thread that begins of every listener. */
  readonly tellAll: (index: number) => void
  /** A thread that died acknowledges nothing any more. */
  readonly lose: (index: number) => void
  readonly size: () => number
}

interface State {
  /** One for all threads, or one for each. */
  readonly fds: ReadonlyArray<number>
  readonly prerouteMs: number
  readonly tellLocal: boolean
  paused: boolean
  /** Who has not acknowledged it yet, and who waits for that. */
  closing: { readonly threads: Set<number>; readonly done: Array<() => void> } | undefined
}

/** `said` is called when something was said to a thread. */
export const make = (threads: ReadonlyArray<DataThread>, said: (index: number) => void): ControlListeners => {
  const states = new Map<number, State>()
  const told = new Map<number, { readonly events: ListenerEvents; connections: number }>()
  let next = 1

  const tellOf = (index: number, listener: number, state: State): void => {
    const outbox = threads[index]?.outbox
    if (outbox === undefined) return
    outbox.words[messages.listen.listener] = listener
    outbox.words[messages.listen.fd] = state.fds[index % state.fds.length] ?? -1
    outbox.words[messages.listen.prerouteMs] = state.prerouteMs
    outbox.words[messages.listen.tellLocal] = state.tellLocal ? 1 : 0
    outbox.send(messages.LISTEN, messages.listen.words)
    if (state.paused) outbox.send(messages.PAUSE, 1)
    said(index)
  }

  /** To all that live: one that begins anew is told of everything then. Returns who they are. */
  const tell = (kind: number, listener: number): Set<number> => {
    const alive = new Set<number>()
    for (const [index, { isAlive, outbox }] of threads.entries()) {
      if (!isAlive()) continue
      outbox.words[0] = listener
      outbox.send(kind, 1)
      said(index)
      alive.add(index)
    }
    return alive
  }

  const forgetIfOver = (listener: number): void => {
    if (!states.has(listener) && told.get(listener)?.connections === 0) told.delete(listener)
  }

  const finish = (listener: number, { closing, fds }: State): void => {
    states.delete(listener)
    forgetIfOver(listener)
    for (const fd of fds) close(fd)
    for (const done of closing?.done ?? []) done()
  }

  const acknowledge = (listener: number, index: number): void => {
    const state = states.get(listener)
    if (state?.closing === undefined) return
    state.closing.threads.delete(index)
    if (state.closing.threads.size === 0) finish(listener, state)
  }

  const openSockets = Effect.fnUntraced(function* (options: ListenOptions) {
    const passed = yield* PassedSockets
    const first = yield* listenSocket(options, passed.take(options.address))
    const fds = [first.fd]
    const count = options.extras?.reusePort === true ? threads.length : 1
    while (fds.length < count) {
      const { fd } = yield* listenSocket({ ...options, address: first.address }, passed.take(first.address)).pipe(
        Effect.tapError(() => Effect.sync(() => fds.forEach((fd) => close(fd))))
      )
      fds.push(fd)
    }
    return { fds, address: first.address }
  })

  return {
    open: (options, to) =>
      Effect.map(openSockets(options), ({ address, fds }) => {
        const listener = next++
        const { prerouteMs, tellLocal = false } = options
        const state: State = { fds, prerouteMs, tellLocal, paused: false, closing: undefined }
        states.set(listener, state)
        told.set(listener, { events: to, connections: 0 })
        for (const [index, { isAlive }] of threads.entries()) if (isAlive()) tellOf(index, listener, state)
        return { listener, address }
      }),
    close: (listener) =>
      Effect.callback((resume) => {
        const state = states.get(listener)
        if (state === undefined) return resume(Effect.void)
        const done = (): void => resume(Effect.void)
        if (state.closing !== undefined) return void state.closing.done.push(done)
        state.closing = { threads: tell(messages.CLOSE_LISTENER, listener), done: [done] }
        if (state.closing.threads.size === 0) finish(listener, state)
      }),
    setPaused: (listener, paused) => {
      const state = states.get(listener)
      if (state === undefined || state.paused === paused) return
      state.paused = paused
      tell(paused ? messages.PAUSE : messages.RESUME, listener)
    },
    events: (listener) => told.get(listener)?.events,
    began: (listener) => {
      const of = told.get(listener)
      if (of !== undefined) of.connections++
    },
    ended: (listener) => {
      const of = told.get(listener)
      if (of === undefined) return
      of.connections--
      forgetIfOver(listener)
    },
    acknowledge,
    tellAll: (index) => {
      for (const [listener, state] of states) if (state.closing === undefined) tellOf(index, listener, state)
    },
    lose: (index) => {
      for (const listener of states.keys()) acknowledge(listener, index)
    },
    size: () => states.size
  }
}
