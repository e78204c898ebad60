import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import {
  DialError,
  type ListenerEvents,
  type ListenOptions,
  PrereadError,
  SecureError,
  Transport
} from "../../src/traffic/Transport.ts"
import { gone } from "../../src/traffic/errno.ts"
import { MOST_SLOTS, threadOf } from "./connectionIds.ts"
import * as ControlAhead from "./ControlAhead.ts"
import * as ControlListeners from "./ControlListeners.ts"
import * as ControlSide from "./ControlSide.ts"
import * as DataThread from "./DataThread.ts"
import { allocate, close, eventfd, read, whenReadable } from "./libc.ts"
import { EFD_CLOEXEC, EFD_NONBLOCK } from "./linux.ts"
import { header, make as makeMemory, places } from "./ThreadMemory.ts"

export interface SpliceOptions {
  /** Data-plane threads. */
  readonly threads: number
  /** Connections at one time, in all threads together; what comes beyond waits in the kernel's backlog. */
  readonly maxConnections: number
  /** Connections opened ahead at one time. */
  readonly maxWarm: number
  /** File descriptors of the process. */
  readonly fdLimit: number
}

/** What the engine needs besides two file descriptors for each connection and one for each listener. */
export const ownFds = ({ fdLimit, threads }: Pick<SpliceOptions, "fdLimit" | "threads">): number =>
  1 + threads * (FDS_OF_THREAD + 2 * pipesEach(fdLimit, threads))

/** Two of this engine, and what Node needs for a worker. */
const FDS_OF_THREAD = 8

// A few are enough where receivers keep pace. What stalled ones can hold in the kernel is bounded by them.
const MOST_PIPES = 64
const pipesEach = (fdLimit: number, threads: number): number =>
  Math.max(1, Math.min(MOST_PIPES, Math.floor(fdLimit / 16 / threads)))

/** A slot comes back when its end has been heard of: a few more than connections keep the rest going meanwhile. */
const SPARE_SLOTS = 1_024

/** A native addon that is being loaded by a thread that is terminated aborts the process. */
const LONGEST_LOAD_MS = 1_000

/** Messages heard at once; then other work of the control side gets its turn. */
const HEARD_AT_ONCE = 512

class ThreadLost extends Data.TaggedError("ThreadLost")<{ readonly detail: string }> {
  override get message(): string {
    return `the data-plane thread died, with its connections: ${this.detail}`
  }
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
  const slots = Math.min(MOST_SLOTS, options.maxConnections + options.maxWarm + SPARE_SLOTS)
  const pipes = pipesEach(options.fdLimit, options.threads)
  let threadsLost = 0
  let hearing = false

  const lost: Array<(detail: string) => void> = []
  const dataThreads = Array.from({ length: options.threads }, (_, index) =>
    DataThread.make(`data-plane-${index}`, makeMemory(slots, pipes, taken), controlFd, (error) =>
      lost[index]?.(error?.message ?? "killed")
    )
  )
  const said = (index: number): void => {
    // While it is being heard, many things are said: it is woken once, at the end.
    if (hearing) return
    const thread = dataThreads[index]
    thread?.wake()
    // It may have nothing to say itself when it has made room.
    if (thread?.outbox.isFull() === true) soon()
  }
  const ahead = ControlAhead.make(dataThreads, said)
  const listeners = ControlListeners.make(dataThreads, said)
  const threads = dataThreads.map((thread, index) => ({
    thread,
    control: ControlSide.make(index, thread, places32, ahead, {
      of: listeners.events,
      began: listeners.began,
      ended: listeners.ended,
      listenerClosed: (listener) => listeners.acknowledge(listener, index),
      said: () => said(index)
    })
  }))
  const threadFor = (id: number) => threads[threadOf(id)]

  const hear = (): void => {
    let all = true
    hearing = true
    try {
      for (const { control, thread } of threads) {
        thread.outbox.flush()
        if (!control.hear(HEARD_AT_ONCE)) all = false
      }
    } finally {
      hearing = false
    }
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
    for (const { thread } of threads) {
      if (thread.isAlive()) Atomics.wait(thread.view.header, header.loaded, 0, LONGEST_LOAD_MS)
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
        listeners.lose(index)
        ahead.lose(index)
        resume(Effect.fail(new ThreadLost({ detail })))
      }
      listeners.tellAll(index)
      thread.start()
      // From here on it is asleep towards this thread, and woken by it.
      soon()
      return Effect.sync(() => (lost[index] = () => undefined))
    })
  for (const index of threads.keys()) yield* supervisor.supervise(`data-plane-${index}`, life(index))

  const listen = Effect.fnUntraced(function* (listenOptions: ListenOptions, events: ListenerEvents) {
    // A fiber of its own: in one that is being interrupted a wait would end at once.
    const closing = (listener: number) => listeners.close(listener).pipe(Effect.forkDetach, Effect.flatMap(Fiber.join))
    const { address, listener } = yield* Effect.acquireRelease(listeners.open(listenOptions, events), (opened) =>
      closing(opened.listener)
    )
    return {
      address,
      pause: () => listeners.setPaused(listener, true),
      resume: () => listeners.setPaused(listener, false),
      close: closing(listener)
    }
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
    // The kernel carries bytes as they are: a listener for TLS is another engine's.
    secure: () => Effect.fail(new SecureError({ reason: "Unsupported", code: "ENOTSUP" })),
    consume: (id, bytes) => threadFor(id)?.control.consume(id, bytes),
    bridge: (id, bridgeOptions) =>
      Effect.callback((resume) => {
        const side = threadFor(id)?.control
        if (side === undefined) {
          if (bridgeOptions.warm !== undefined) ahead.discard(bridgeOptions.warm)
          return resume(Effect.fail(gone()))
        }
        side.bridge(id, bridgeOptions, (result) =>
          resume(result instanceof DialError ? Effect.fail(result) : Effect.succeed(result))
        )
        return Effect.sync(() => side.cancelBridge(id))
      }),
    warm: ahead.open,
    discard: ahead.discard,
    counts: (id, out) => threadFor(id)?.control.counts(id, out) ?? false,
    abort: (id, how, why) => threadFor(id)?.control.abort(id, how, why),
    census: () => ({
      connections: threads.reduce((all, { control }) => all + control.connections(), 0),
      warm: ahead.size(),
      listeners: listeners.size(),
      fds: 1 + 2 * threads.length + listeners.size() + sum(header.sockets) + 2 * sum(header.pipesOpen),
      threads: threads.length,
      threadsLost,
      pipes: sum(header.pipesOpen),
      heldBytes: sum(header.heldBytes),
      waitingMessages: threads.reduce((all, { control }) => all + control.waiting(), 0),
      toThreadsBytes: dataThreads.reduce((all, { unheardBytes }) => all + unheardBytes().to, 0),
      fromThreadsBytes: dataThreads.reduce((all, { unheardBytes }) => all + unheardBytes().from, 0),
      resetWhilePaused: 0
    })
  })
  killThread.set(service, (index) => threads[index]?.thread.kill())
  return service
})
