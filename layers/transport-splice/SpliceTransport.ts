import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import {
  DialError,
  type Endpoint,
  type Listener,
  type ListenerEvents,
  type ListenOptions,
  PrereadError,
  Transport
} from "../../src/traffic/Transport.ts"
import { gone } from "../../src/traffic/errno.ts"
import { MOST_SLOTS, threadOf } from "./connectionIds.ts"
import * as ControlSide from "./ControlSide.ts"
import * as DataThread from "./DataThread.ts"
import { allocate, close, eventfd, read, whenReadable } from "./libc.ts"
import { EFD_CLOEXEC, EFD_NONBLOCK } from "./linux.ts"
import { listenSocket } from "./listenSocket.ts"
import * as messages from "./messages.ts"
import { header, make as makeMemory, places } from "./ThreadMemory.ts"

export interface SpliceOptions {
  /** Data-plane threads. */
  readonly threads: number
  /** Connections at one time, in all threads together; what comes beyond waits in the kernel's backlog. */
  readonly maxConnections: number
  /** File descriptors of the process. */
  readonly fdLimit: number
}

/** What the engine needs besides two file descriptors for each connection and one for each listener. */
export const ownFds = ({ fdLimit, threads }: Pick<SpliceOptions, "fdLimit" | "threads">): number =>
  1 + threads * (2 + 2 * pipesEach(fdLimit, threads))

// A few are enough where receivers keep pace. What stalled ones can hold in the kernel is bounded by them.
const MOST_PIPES = 64
const pipesEach = (fdLimit: number, threads: number): number =>
  Math.max(1, Math.min(MOST_PIPES, Math.floor(fdLimit / 16 / threads)))

/** A slot comes back when its end has been heard of: a few more than connections keep the rest going meanwhile. */
const SPARE_SLOTS = 1_024

/** Messages heard at once; then other work of the control side gets its turn. */
const HEARD_AT_ONCE = 512

class ThreadLost extends Data.TaggedError("ThreadLost")<{ readonly detail: string }> {
  override get message(): string {
    return `the data-plane thread died, with its connections: ${this.detail}`
  }
}

interface ListenerState {
  readonly fds: ReadonlyArray<number>
  readonly prerouteMs: number
  paused: boolean
  closing: { left: number; readonly done: () => void } | undefined
}

/** Kills a thread, for tests of what comes then. */
export const killThread = new WeakMap<Transport["Service"], (index: number) => void>()

/**
 * The engine for Linux: data-plane threads accept, dial and carry bytes with the kernel's own means, outside the JavaScript
 * heap; this side only decides. Sockets and pipes belong to the thread that opened them, listening sockets and eventfds
 * to this side. The two talk through rings in shared memory.
 */
export const layer = (options: SpliceOptions): Layer.Layer<Transport, never, Supervisor> =>
  Layer.effect(Transport, make(options))

const make = Effect.fnUntraced(function* (options: SpliceOptions) {
  const supervisor = yield* Supervisor
  const taken = new SharedArrayBuffer(64)
  const places32 = new Int32Array(taken)
  places32[places.limit] = options.maxConnections
  const controlFd = yield* Effect.acquireRelease(
    Effect.sync(() => eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
    (fd) => Effect.sync(() => close(fd))
  )
  const slots = Math.min(MOST_SLOTS, options.maxConnections + SPARE_SLOTS)
  const pipes = pipesEach(options.fdLimit, options.threads)
  const listeners = new Map<number, ListenerState>()
  // Kept when a listener is closed: its connections may live on.
  const listenerEvents = new Map<number, ListenerEvents>()
  let nextListener = 1
  let threadsLost = 0
  let hearing = false

  const said = (index: number) => (): void => {
    // While it is being heard, many things are said: it is woken once, at the end.
    if (!hearing) threads[index]?.thread.wake()
  }

  const acknowledge = (listener: number): void => {
    const state = listeners.get(listener)
    if (state?.closing === undefined) return
    state.closing.left--
    if (state.closing.left > 0) return
    listeners.delete(listener)
    for (const fd of new Set(state.fds)) close(fd)
    state.closing.done()
  }

  const lost: Array<(detail: string) => void> = []
  const threads = Array.from({ length: options.threads }, (_, index) => {
    const memory = makeMemory(slots, pipes, taken)
    const thread = DataThread.make(`data-plane-${index}`, memory, controlFd, (error) =>
      lost[index]?.(error?.message ?? "killed")
    )
    const control = ControlSide.make(index, thread, places32, {
      of: (listener) => listenerEvents.get(listener),
      listenerClosed: acknowledge,
      said: said(index)
    })
    return { thread, control }
  })
  const threadFor = (id: number) => threads[threadOf(id)]

  const tellListen = (index: number, listener: number, state: ListenerState): void => {
    const thread = threads[index]?.thread
    if (thread === undefined) return
    const { outbox } = thread
    outbox.words[messages.listen.listener] = listener
    outbox.words[messages.listen.fd] = state.fds[index % state.fds.length] ?? -1
    outbox.words[messages.listen.prerouteMs] = state.prerouteMs
    outbox.send(messages.LISTEN, messages.listen.words)
    if (state.paused) outbox.send(messages.PAUSE, 1)
    said(index)()
  }

  const tellAll = (kind: number, listener: number): void => {
    for (const [index, { thread }] of threads.entries()) {
      // A thread that begins anew is told of everything then.
      if (!thread.isAlive()) continue
      thread.outbox.words[0] = listener
      thread.outbox.send(kind, 1)
      said(index)()
    }
  }

  const hear = (): void => {
    hearing = true
    let all = true
    for (const { control, thread } of threads) {
      thread.outbox.flush()
      if (!control.hear(HEARD_AT_ONCE)) all = false
    }
    hearing = false
    for (const { thread } of threads) {
      thread.wake()
      // It waits for places that were given back just now, or for room in the ring.
      if (Atomics.load(thread.view.header, header.starved) === 1) {
        Atomics.store(thread.view.header, header.starved, 0)
        thread.rouse()
      }
      if (thread.outbox.isFull()) all = false
    }
    // Those that go to sleep last look once more.
    for (const { thread } of threads) if (all && !thread.inbox.sleep()) all = false
    if (!all) soon()
  }

  let pending: NodeJS.Immediate | undefined
  // In a turn of its own: what is queued inside the callback of a poll (microtasks, nextTick) is not run at its end.
  const soon = (): void => {
    pending ??= setImmediate(() => {
      pending = undefined
      for (const { thread } of threads) thread.inbox.wake()
      hear()
    })
  }
  const sink = allocate(8)
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      whenReadable(controlFd, () => {
        read(controlFd, sink.address, 8)
        soon()
      })
    ),
    (stop) =>
      Effect.sync(() => {
        stop()
        clearImmediate(pending)
      })
  )

  const stopNow = (): void => {
    for (const { thread } of threads) {
      Atomics.store(thread.view.header, header.stop, 1)
      thread.rouse()
    }
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => void process.on("exit", stopNow)),
    () => Effect.sync(() => void process.off("exit", stopNow))
  )

  const stopOne = ({ control, thread }: (typeof threads)[number]) =>
    Effect.callback<void>((resume) =>
      thread.stop(() => {
        control.hear(Infinity)
        control.lose()
        thread.reap()
        thread.release()
        resume(Effect.void)
      })
    )
  yield* Effect.addFinalizer(() =>
    // A fiber of its own: in one that is being interrupted a wait would end at once.
    Effect.forEach(threads, stopOne, { concurrency: "unbounded", discard: true }).pipe(
      Effect.forkDetach,
      Effect.flatMap(Fiber.join)
    )
  )

  /** One life of a thread: it begins with the listeners there are, and fails when the worker is gone. */
  const life = (index: number) =>
    Effect.callback<never, ThreadLost>((resume) => {
      const { control, thread } = threads[index] ?? {}
      if (control === undefined || thread === undefined) return
      lost[index] = (detail) => {
        threadsLost++
        control.hear(Infinity)
        control.lose()
        thread.reap()
        for (const [listener, state] of listeners) {
          if (state.closing !== undefined) acknowledge(listener)
        }
        resume(Effect.fail(new ThreadLost({ detail })))
      }
      for (const [listener, state] of listeners) tellListen(index, listener, state)
      thread.start()
      // From here on it is asleep towards this thread, and woken by it.
      soon()
      return Effect.sync(() => (lost[index] = () => undefined))
    })
  for (const index of threads.keys()) yield* supervisor.supervise(`data-plane-${index}`, life(index))

  const openAll = Effect.fnUntraced(function* (listenOptions: ListenOptions) {
    const first = yield* listenSocket(listenOptions)
    const fds = [first.fd]
    if (listenOptions.extras?.reusePort === true) {
      const address: Endpoint = first.address
      for (let i = 1; i < options.threads; i++) {
        const next = yield* listenSocket({ ...listenOptions, address }).pipe(
          Effect.tapError(() => Effect.sync(() => fds.forEach((fd) => close(fd))))
        )
        fds.push(next.fd)
      }
    }
    return { fds, address: first.address }
  })

  const listen = Effect.fnUntraced(function* (listenOptions: ListenOptions, events: ListenerEvents) {
    const number = nextListener++
    const closing = Effect.callback<void>((resume) => {
      const state = listeners.get(number)
      if (state === undefined) return resume(Effect.void)
      const before = state.closing?.done
      const done = (): void => {
        before?.()
        resume(Effect.void)
      }
      if (state.closing !== undefined) {
        state.closing = { left: state.closing.left, done }
        return
      }
      const alive = threads.filter(({ thread }) => thread.isAlive())
      state.closing = { left: alive.length, done }
      if (alive.length > 0) return tellAll(messages.CLOSE_LISTENER, number)
      state.closing.left = 1
      acknowledge(number)
    })
    const shut = closing.pipe(Effect.forkDetach, Effect.flatMap(Fiber.join))
    const address = yield* Effect.acquireRelease(
      Effect.map(openAll(listenOptions), ({ address, fds }) => {
        const state = { fds, prerouteMs: listenOptions.prerouteMs, paused: false, closing: undefined }
        listeners.set(number, state)
        listenerEvents.set(number, events)
        for (const [index, { thread }] of threads.entries()) if (thread.isAlive()) tellListen(index, number, state)
        return address
      }),
      () => shut
    )
    const setPaused = (paused: boolean): void => {
      const state = listeners.get(number)
      if (state === undefined || state.paused === paused) return
      state.paused = paused
      tellAll(paused ? messages.PAUSE : messages.RESUME, number)
    }
    const listener: Listener = {
      address,
      pause: () => setPaused(true),
      resume: () => setPaused(false),
      close: shut
    }
    return listener
  })

  const sum = (word: number): number => threads.reduce((all, { thread }) => all + (thread.view.header[word] ?? 0), 0)

  const service = Transport.of({
    engine: "splice",
    listen,
    preread: (id, question, max) =>
      Effect.callback((resume) => {
        const side = threadFor(id)?.control
        if (side === undefined) return resume(Effect.fail(new PrereadError({ reason: "Gone" })))
        side.preread(id, question, max, (result) =>
          resume(result instanceof PrereadError ? Effect.fail(result) : Effect.succeed(result))
        )
        return Effect.sync(() => side.cancelPreread(id))
      }),
    consume: (id, bytes) => threadFor(id)?.control.consume(id, bytes),
    bridge: (id, bridgeOptions) =>
      Effect.callback((resume) => {
        const side = threadFor(id)?.control
        if (side === undefined) return resume(Effect.fail(gone()))
        side.bridge(id, bridgeOptions, (result) =>
          resume(result instanceof DialError ? Effect.fail(result) : Effect.succeed(result))
        )
        return Effect.sync(() => side.cancelBridge(id))
      }),
    counts: (id, out) => threadFor(id)?.control.counts(id, out) ?? false,
    abort: (id, how, why) => threadFor(id)?.control.abort(id, how, why),
    census: () => ({
      connections: threads.reduce((all, { control }) => all + control.connections(), 0),
      listeners: listeners.size,
      fds: 1 + 2 * threads.length + listeners.size + sum(header.sockets) + 2 * sum(header.pipesOpen),
      threads: threads.length,
      threadsLost,
      pipes: sum(header.pipesOpen),
      heldBytes: sum(header.heldBytes),
      resetWhilePaused: 0
    })
  })
  killThread.set(service, (index) => threads[index]?.thread.kill())
  return service
})
