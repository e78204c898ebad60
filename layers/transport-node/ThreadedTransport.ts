import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { type ConnectionId, PrereadError, SecureError, Transport } from "../../src/traffic/Transport.ts"
import { gone, warmGone } from "../../src/traffic/errno.ts"
import { RemoteEngine } from "./RemoteEngine.ts"
import { RemoteListeners } from "./RemoteListeners.ts"

export interface ThreadedOptions {
  readonly threads: number
  /** Connections at one time, in all threads together, of which counts are known while they run. */
  readonly maxConnections: number
  /** Numbers of connections begin here, those of a further thread {@link IDS_OF_THREAD} later. */
  readonly firstId: ConnectionId
}

export const IDS_OF_THREAD = 2 ** 44

const NO_WARM = 0

class ThreadLost extends Data.TaggedError("ThreadLost")<{ readonly detail: string }> {
  override get message(): string {
    return `the TLS thread died, with its connections: ${this.detail}`
  }
}

/** Kills a thread, for tests of what comes then. */
export const killThread = new WeakMap<Transport["Service"], (index: number) => void>()

/**
 * The node engine in threads of its own, for connections that need TLS: a handshake takes a millisecond, and on the control
 * thread a flood of them would delay health checks and everybody's decisions.
 *
 * The threads listen themselves and keep a connection from its accept to its end, so that nothing has to be handed over: a
 * descriptor could only be by FFI, which not every system has, and who owns it when a thread dies would have to be kept in a
 * ledger. As it is, Node closes what a dead thread had open, and whatever engine carries the other connections, TLS is the
 * same. The price is that of the node engine: a paused listener resets its clients, since it can't leave them in the backlog,
 * and while a thread is replaced (a fifth of a second) its port refuses.
 *
 * Several threads share each port (SO_REUSEPORT), so another process of the same user that also shares it is not noticed; an
 * ordinary one is, by a trial.
 */
export const layer = (options: ThreadedOptions): Layer.Layer<Transport, never, Supervisor> =>
  Layer.effect(Transport, make(options))

const make = Effect.fnUntraced(function* (options: ThreadedOptions) {
  const supervisor = yield* Supervisor
  const listeners = new RemoteListeners()
  const engines = Array.from({ length: options.threads }, (_, index) => {
    const firstId = options.firstId + index * IDS_OF_THREAD
    return new RemoteEngine(`tls-${index}`, { ...options, firstId }, listeners)
  })
  listeners.engines = engines
  const engineOf = (id: ConnectionId): RemoteEngine | undefined =>
    engines[Math.floor((id - options.firstId) / IDS_OF_THREAD)]
  let threadsLost = 0

  yield* Effect.addFinalizer(() =>
    // A fiber of its own: in one that is being interrupted a wait would end at once.
    Effect.forEach(engines, (engine) => engine.stop, { concurrency: "unbounded", discard: true }).pipe(
      Effect.forkDetach,
      Effect.flatMap(Fiber.join)
    )
  )
  /** One life of a thread: it begins with the listeners there are, and fails when the worker is gone. */
  const life = (engine: RemoteEngine) =>
    Effect.callback<never, ThreadLost>((resume) => {
      engine.start((error) => {
        threadsLost++
        resume(Effect.fail(new ThreadLost({ detail: error?.message ?? "killed" })))
      })
      return Effect.sync(() => engine.disown())
    })
  for (const engine of engines) yield* supervisor.supervise(engine.name, life(engine))

  const sum = (of: (engine: RemoteEngine) => number): number => engines.reduce((all, engine) => all + of(engine), 0)

  const service = Transport.of({
    engine: "node-threads",
    listen: (listenOptions, events) => listeners.open(listenOptions, events),
    preread: (id, question, max) => {
      const lost = new PrereadError({ reason: "Gone" })
      return engineOf(id)?.ask(id, lost, (request) => ({ op: "preread", id, request, question, max })) ?? lost
    },
    consume: (id, bytes) => engineOf(id)?.say({ op: "consume", id, bytes }),
    secure: (id, { pair, tls }) => {
      const lost = new SecureError({ reason: "Gone", code: "GONE" })
      const engine = engineOf(id)
      if (engine === undefined) return lost
      return engine.ask(id, lost, (request) => ({
        op: "secure",
        id,
        request,
        pair,
        tls: engine.serverTls(tls, options.threads)
      }))
    },
    bridge: (id, { tls, ...bridgeOptions }) => {
      const engine = engineOf(id)
      if (engine === undefined) return gone()
      return engine.ask(id, gone(), (request) => ({
        op: "bridge",
        id,
        request,
        options: bridgeOptions,
        tls: tls === undefined ? undefined : engine.backendTls(tls)
      }))
    },
    // Connections are opened ahead for those that are carried as they are, which is another engine's.
    warm: (_, events) => {
      queueMicrotask(() => events.onWarmLost(NO_WARM, warmGone("ENOTSUP")))
      return NO_WARM
    },
    discard: () => undefined,
    counts: (id, out) => engineOf(id)?.counts(id, out) ?? false,
    abort: (id, how, why) => engineOf(id)?.say({ op: "abort", id, how, why }),
    census: () => ({
      connections: sum((engine) => engine.size()),
      listeners: listeners.size(),
      fds: sum((engine) => 2 * engine.size() + listeners.size() + FDS_OF_THREAD),
      threads: options.threads,
      threadsLost,
      warm: 0,
      waitingMessages: 0,
      toThreadsBytes: 0,
      fromThreadsBytes: 0,
      pipes: 0,
      heldBytes: sum((engine) => engine.heldBytes()),
      resetWhilePaused: sum((engine) => engine.resetWhilePaused())
    })
  })
  killThread.set(service, (index) => engines[index]?.kill())
  return service
})

/** What Node needs for a worker. */
export const FDS_OF_THREAD = 8
