import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { closeSync } from "node:fs"
import * as net from "node:net"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import { codeOf, listenError } from "../../src/traffic/errno.ts"
import {
  type Accepted,
  type Ended,
  type Endpoint,
  ListenError,
  type Listener,
  type ListenerEvents,
  type ListenOptions
} from "../../src/traffic/Transport.ts"
import type { RemoteEngine } from "./RemoteEngine.ts"
import type { FromThread } from "./threadMessages.ts"

interface State {
  readonly number: number
  readonly events: ListenerEvents
  options: ListenOptions
  /** Why it is paused, if it is. */
  paused: string | undefined
  connections: number
  /** Who waits for a thread to listen, or to have stopped. */
  readonly waiting: Map<RemoteEngine, (message: Heard | undefined) => void>
  /** Threads that can't have the port: it is that of a socket from outside, which is another thread's and is not shared. */
  readonly without: Set<RemoteEngine>
  /** Sockets from outside that wait for their threads to begin. */
  readonly given: Map<RemoteEngine, number>
  /** Of a socket from outside: descriptors for threads that begin, for as long as the listener is open. */
  copies: Copies | undefined
  isOpen: boolean
}

interface Copies {
  readonly next: () => number | undefined
  readonly close: () => void
}

type Heard = Extract<FromThread, { readonly op: "listening" | "not-listening" | "closed" }>

/** The listeners of {@link layer ThreadedTransport}: each is open in all of its threads. */
export class RemoteListeners {
  engines: ReadonlyArray<RemoteEngine> = []
  /** Also of closed ones, until the last of their connections has ended. */
  private readonly states = new Map<number, State>()
  private next = 1

  readonly open = Effect.fnUntraced(function* (
    this: RemoteListeners,
    options: ListenOptions,
    events: ListenerEvents
  ): Effect.fn.Return<Listener, ListenError, Scope.Scope> {
    const number = this.next++
    const state: State = {
      number,
      events,
      options,
      paused: undefined,
      connections: 0,
      waiting: new Map(),
      without: new Set(),
      given: new Map(),
      copies: undefined,
      isOpen: false
    }
    const closed = yield* Effect.cached(Effect.suspend(() => this.close(state)))
    // A fiber of its own: in one that is being interrupted a wait would end at once.
    const close = closed.pipe(Effect.forkDetach, Effect.flatMap(Fiber.join))
    const opened = Effect.suspend(() => this.openAll(state)).pipe(Effect.onError(() => close))
    const address = yield* Effect.acquireRelease(opened, () => close)
    return {
      address,
      pause: (reason) => this.setPaused(state, reason),
      resume: () => this.setPaused(state, undefined),
      close
    }
  })

  size(): number {
    let open = 0
    for (const state of this.states.values()) if (state.isOpen) open++
    return open
  }

  events(listener: number): ListenerEvents | undefined {
    return this.states.get(listener)?.events
  }

  accepted(listener: number, accepted: Accepted): void {
    const state = this.states.get(listener)
    if (state === undefined) return
    state.connections++
    state.events.onAccept([accepted])
  }

  ended(listener: number, ended: Ended): void {
    const state = this.states.get(listener)
    if (state === undefined) return
    state.connections--
    state.events.onEnd([ended])
    this.forgetIfOver(state)
  }

  hear(engine: RemoteEngine, message: Heard | Extract<FromThread, { readonly op: "accept-error" }>): void {
    const state = this.states.get(message.listener)
    if (state === undefined) return
    if (message.op === "accept-error") return state.events.onAcceptError(message)
    if (message.op === "listening" && state.paused !== undefined) {
      engine.say({ op: "pause", listener: state.number, reason: state.paused })
    }
    const heard = state.waiting.get(engine)
    state.waiting.delete(engine)
    if (heard !== undefined) return heard(message)
    // A thread that was replaced did not get its port back: the supervisor replaces it again.
    if (message.op === "not-listening") engine.kill()
  }

  /** Tells a thread that begins of every listener. */
  tellAll(engine: RemoteEngine): void {
    for (const state of this.states.values()) {
      if (state.without.has(engine)) continue
      if (state.isOpen || state.waiting.has(engine)) this.tell(engine, state)
    }
  }

  private tell(engine: RemoteEngine, { copies, given, number, options }: State): void {
    const fd = given.get(engine) ?? copies?.next()
    given.delete(engine)
    engine.say({ op: "listen", listener: number, options, fd })
  }

  /** A thread that died stops listening, and answers nothing. */
  lose(engine: RemoteEngine): void {
    for (const state of this.states.values()) {
      if (state.isOpen) continue
      const heard = state.waiting.get(engine)
      state.waiting.delete(engine)
      heard?.(undefined)
    }
  }

  private readonly openAll = Effect.fnUntraced(function* (this: RemoteListeners, state: State) {
    const { address } = state.options
    const fds = yield* this.takePassed(state)
    const own = fds.every((fd) => fd === undefined)
    if (this.engines.length > 1 && own) yield* tryPort(state.options)
    this.states.set(state.number, state)
    let bound: Endpoint = address
    // One after the other: the first one's port is that of all.
    for (const [index, engine] of this.engines.entries()) {
      const fd = fds[index]
      if (fd !== undefined) state.given.set(engine, fd)
      const opened = this.openIn(engine, state)
      // Whoever passes one socket need not have made it such that others can be bound beside it (`ReusePort=` of systemd).
      const alone = opened.pipe(
        Effect.catchIf(
          ({ reason }) => reason === "InUse" && !own && fd === undefined,
          () => Effect.sync(() => void state.without.add(engine))
        )
      )
      bound = (yield* alone) ?? bound
      state.options = { ...state.options, address: bound }
    }
    state.isOpen = true
    return bound
  })

  /** For each thread a socket of its own, or descriptors of the one that there is; none when none was passed. */
  private readonly takePassed = Effect.fnUntraced(function* (this: RemoteListeners, state: State) {
    const { copier, take } = yield* PassedSockets
    const { address } = state.options
    const fds = this.engines.map(() => take(address))
    const [first, ...others] = fds
    if (first === undefined || copier === undefined || others.some((fd) => fd !== undefined)) return fds
    const copy = yield* copier
    // One stays here, from which each thread gets its own, also when it is replaced.
    const kept = copy(first)
    if (kept === undefined) return fds
    state.copies = { next: () => copy(kept), close: () => closeSync(kept) }
    return [first, ...others.map(() => copy(kept))]
  })

  private openIn(engine: RemoteEngine, state: State): Effect.Effect<Endpoint, ListenError> {
    return Effect.callback((resume) => {
      const listen = (): void => {
        state.waiting.set(engine, (message) => {
          if (message === undefined) return listen()
          if (message.op === "listening") return resume(Effect.succeed(message.address))
          const { detail, reason } =
            message.op === "not-listening" ? message : { reason: "Other" as const, detail: "it was closed" }
          resume(Effect.fail(new ListenError({ reason, detail, address: state.options.address })))
        })
      }
      listen()
      // One that is yet to begin is told then.
      if (engine.isAlive()) this.tell(engine, state)
      return Effect.sync(() => state.waiting.delete(engine))
    })
  }

  private close(state: State): Effect.Effect<void> {
    if (!this.states.has(state.number)) return Effect.void
    state.isOpen = false
    return Effect.forEach(
      this.engines.filter((engine) => engine.isAlive()),
      (engine) =>
        Effect.callback<void>((resume) => {
          // A thread that has just begun tells first that it listens.
          const wait = (): void =>
            void state.waiting.set(engine, (message) =>
              message === undefined || message.op === "closed" ? resume(Effect.void) : wait()
            )
          wait()
          engine.say({ op: "close", listener: state.number })
        }),
      { concurrency: "unbounded", discard: true }
    ).pipe(
      Effect.andThen(
        Effect.sync(() => {
          for (const fd of state.given.values()) closeSync(fd)
          state.given.clear()
          state.copies?.close()
          state.copies = undefined
          this.forgetIfOver(state)
        })
      )
    )
  }

  private setPaused(state: State, reason: string | undefined): void {
    if (!state.isOpen || state.paused === reason) return
    state.paused = reason
    const listener = state.number
    for (const engine of this.engines) {
      engine.say(reason === undefined ? { op: "resume", listener } : { op: "pause", listener, reason })
    }
  }

  private forgetIfOver(state: State): void {
    if (!state.isOpen && state.waiting.size === 0 && state.connections === 0) this.states.delete(state.number)
  }
}

/** Fails when somebody else has the port, which threads that share it among themselves would not notice. */
const tryPort = ({ address, ipv6Only }: ListenOptions): Effect.Effect<void, ListenError> =>
  Effect.callback((resume) => {
    const server = net.createServer()
    server.once("error", (error) => resume(Effect.fail(listenError(address, codeOf(error)))))
    server.listen({ host: address.address, port: address.port, ipv6Only }, () =>
      server.close(() => resume(Effect.void))
    )
  })
