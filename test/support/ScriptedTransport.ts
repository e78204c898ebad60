import * as Effect from "effect/Effect"
import type { Termination } from "../../src/domain/Termination.ts"
import { type Preread, prereads } from "../../src/traffic/Preread.ts"
import {
  type AbortHow,
  type Accepted,
  type BridgeOptions,
  type Bridged,
  type ConnectionId,
  DialError,
  type Ended,
  type Endpoint,
  type Listener,
  type ListenerEvents,
  type ListenOptions,
  type LiveCounts,
  PrereadError,
  Transport,
  type WarmId,
  type WarmOptions
} from "../../src/traffic/Transport.ts"

type DialReason = DialError["reason"]

const sources: Readonly<Record<DialReason, DialError["source"]>> = {
  Refused: "backend",
  Timeout: "backend",
  Unreachable: "backend",
  Reset: "backend",
  NoPorts: "proxy",
  NoFds: "proxy",
  NoMem: "proxy",
  Denied: "proxy",
  Gone: "client",
  WarmGone: "backend",
  Tls: "backend"
}

export const dialError = (reason: DialReason): DialError =>
  new DialError({ source: sources[reason], reason, code: reason.toUpperCase() })

/** A call of `bridge`; the test decides how it ends. */
export interface Dial {
  readonly id: ConnectionId
  readonly options: BridgeOptions
  readonly succeed: (connectUs?: number) => void
  readonly fail: (reason: DialReason) => void
  readonly die: (defect: unknown) => void
}

export interface Abort {
  /** By the clock given to `make`. */
  readonly at: number
  readonly id: ConnectionId
  readonly how: AbortHow
  readonly why: Termination
}

/** A connection that was opened ahead; the test decides what becomes of it. */
export interface ScriptedWarm {
  readonly id: WarmId
  readonly options: WarmOptions
  state: "opening" | "open" | "lost" | "discarded" | "bridged"
  readonly succeed: (connectUs?: number) => void
  /** The dial fails, or, once it is open, it ends. */
  readonly fail: (reason: DialReason) => void
}

export interface ScriptedListener {
  readonly options: ListenOptions
  readonly events: ListenerEvents
  pausedFor: string | undefined
  closed: boolean
}

interface Open extends LiveCounts {
  readonly events: ListenerEvents
  dial: ((result: Effect.Effect<Bridged, DialError>) => void) | undefined
  ending: boolean
  /** What the client has said and nobody has taken. */
  said: Uint8Array
  finished: boolean
  asked:
    | { readonly question: Preread; readonly resume: (result: Effect.Effect<Uint8Array, PrereadError>) => void }
    | undefined
}

/**
 * A transport without sockets: it notes what it is told, and the test plays clients and backends. As in an engine, what is
 * aborted ends a moment later, and until then the connection is known.
 */
export interface ScriptedTransport {
  readonly service: Transport["Service"]
  readonly listeners: ReadonlyArray<ScriptedListener>
  readonly dials: ReadonlyArray<Dial>
  readonly aborts: ReadonlyArray<Abort>
  readonly warms: ReadonlyArray<ScriptedWarm>
  /** The last call of `bridge`. */
  readonly dial: () => Dial
  /** A client connects. */
  readonly accept: (address?: string, listener?: number, local?: Endpoint) => ConnectionId
  /** The client says something. */
  readonly say: (id: ConnectionId, bytes: Uint8Array) => void
  /** The client has nothing more to say. */
  readonly finish: (id: ConnectionId) => void
  /** What nobody has taken of what the client has said: a backend would get it. */
  readonly left: (id: ConnectionId) => Uint8Array | undefined
  /** The connection ends by itself. */
  readonly end: (id: ConnectionId, how?: Partial<Ended>) => void
  /** The backend resets before a byte went either way. */
  readonly unbridge: (id: ConnectionId, reason?: DialReason) => void
  /** What `counts` says of it. */
  readonly set: (id: ConnectionId, counts: Partial<LiveCounts>) => void
}

export const make = (now: () => number): ScriptedTransport => {
  const listeners: Array<ScriptedListener> = []
  const dials: Array<Dial> = []
  const aborts: Array<Abort> = []
  const warms: Array<ScriptedWarm> = []
  const open = new Map<ConnectionId, Open>()
  let nextId = 1

  const end = (id: ConnectionId, how: Partial<Ended> = {}): void => {
    const connection = open.get(id)
    if (connection === undefined) return
    open.delete(id)
    const fin: Ended = {
      id,
      by: "client",
      phase: "relay",
      cause: "fin",
      bytesIn: connection.bytesIn,
      bytesOut: connection.bytesOut,
      firstByteUs: undefined,
      code: undefined
    }
    const reason = how.cause === "preroute-timeout" ? "Deadline" : "Gone"
    connection.asked?.resume(Effect.fail(new PrereadError({ reason })))
    connection.events.onEnd([{ ...fin, ...how }])
  }

  const look = (connection: Open): void => {
    const { asked, finished, said } = connection
    if (asked === undefined) return
    const verdict = prereads[asked.question](said, finished)
    if (verdict === "more") return
    connection.asked = undefined
    asked.resume(verdict === "enough" ? Effect.succeed(said) : Effect.fail(new PrereadError({ reason: "Malformed" })))
  }

  const preread = (id: ConnectionId, question: Preread): Effect.Effect<Uint8Array, PrereadError> =>
    Effect.callback((resume) => {
      const connection = open.get(id)
      if (connection === undefined || connection.ending) {
        return resume(Effect.fail(new PrereadError({ reason: "Gone" })))
      }
      connection.asked = { question, resume }
      look(connection)
      return Effect.sync(() => void (connection.asked = undefined))
    })

  const bridge = (id: ConnectionId, options: BridgeOptions): Effect.Effect<Bridged, DialError> =>
    Effect.callback((resume) => {
      const connection = open.get(id)
      const warm = warms[(options.warm ?? 0) - 1]
      const isOpen = warm?.state === "open"
      // Whatever comes of it, nobody can have it again.
      if (isOpen) warm.state = "bridged"
      if (connection === undefined || connection.ending) return resume(Effect.fail(dialError("Gone")))
      if (options.warm !== undefined && !isOpen) return resume(Effect.fail(dialError("WarmGone")))
      connection.dial = resume
      const finish = (result: Effect.Effect<Bridged, DialError>): void => {
        connection.dial = undefined
        resume(result)
      }
      dials.push({
        id,
        options,
        succeed: (connectUs = 1_500) => finish(Effect.succeed({ connectUs })),
        fail: (reason) => finish(Effect.fail(dialError(reason))),
        die: (defect) => finish(Effect.die(defect))
      })
    })

  const listen = (options: ListenOptions, events: ListenerEvents): Effect.Effect<Listener> =>
    Effect.sync(() => {
      const state: ScriptedListener = { options, events, pausedFor: undefined, closed: false }
      listeners.push(state)
      const port = options.address.port === 0 ? 40_000 + listeners.length : options.address.port
      return {
        address: { address: options.address.address, port },
        pause: (reason) => void (state.pausedFor = reason),
        resume: () => void (state.pausedFor = undefined),
        close: Effect.sync(() => void (state.closed = true))
      }
    })

  const service = Transport.of({
    engine: "script",
    listen,
    bridge,
    counts: (id, out) => {
      const connection = open.get(id)
      if (connection === undefined) return false
      out.bytesIn = connection.bytesIn
      out.bytesOut = connection.bytesOut
      out.idleMs = connection.idleMs
      out.waiting = connection.waiting
      return true
    },
    abort: (id, how, why) => {
      const connection = open.get(id)
      if (connection === undefined || connection.ending) return
      connection.ending = true
      aborts.push({ at: now(), id, how, why })
      connection.dial?.(Effect.fail(dialError("Gone")))
      queueMicrotask(() => end(id, why))
    },
    preread,
    secure: () => Effect.succeed({ protocol: undefined, version: "TLSv1.3", resumed: false, peer: undefined }),
    consume: (id, bytes) => {
      const connection = open.get(id)
      if (connection !== undefined) connection.said = connection.said.slice(bytes)
    },
    warm: (options, events) => {
      const id = warms.length + 1
      const warm: ScriptedWarm = {
        id,
        options,
        state: "opening",
        succeed: (connectUs = 1_500) => {
          if (warm.state !== "opening") return
          warm.state = "open"
          events.onWarm(id, connectUs)
        },
        fail: (reason) => {
          if (warm.state !== "opening" && warm.state !== "open") return
          warm.state = "lost"
          events.onWarmLost(id, dialError(reason))
        }
      }
      warms.push(warm)
      return id
    },
    discard: (id) => {
      const warm = warms[id - 1]
      if (warm?.state === "opening" || warm?.state === "open") warm.state = "discarded"
    },
    census: () => ({
      connections: open.size,
      warm: warms.filter(({ state }) => state === "opening" || state === "open").length,
      listeners: listeners.length,
      fds: 0,
      threads: 0,
      threadsLost: 0,
      pipes: 0,
      heldBytes: 0,
      waitingMessages: 0,
      toThreadsBytes: 0,
      fromThreadsBytes: 0,
      resetWhilePaused: 0
    })
  })

  return {
    service,
    listeners,
    dials,
    aborts,
    warms,
    dial: () => {
      const last = dials.at(-1)
      if (last === undefined) throw new Error("nothing was dialled")
      return last
    },
    accept: (address = "203.0.113.7", listener = 0, local = undefined) => {
      const events = listeners[listener]?.events
      if (events === undefined) throw new Error("nobody listens")
      const remote = { address, port: 50_000 }
      const accepted: Accepted = { id: nextId++, remote, ...(local === undefined ? {} : { local }) }
      const counts: LiveCounts = { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 }
      const said = new Uint8Array(0)
      open.set(accepted.id, {
        events,
        dial: undefined,
        ending: false,
        said,
        finished: false,
        asked: undefined,
        ...counts
      })
      events.onAccept([accepted])
      return accepted.id
    },
    say: (id, bytes) => {
      const connection = open.get(id)
      if (connection === undefined) return
      connection.said = Uint8Array.from([...connection.said, ...bytes])
      look(connection)
    },
    finish: (id) => {
      const connection = open.get(id)
      if (connection === undefined) return
      connection.finished = true
      look(connection)
    },
    left: (id) => open.get(id)?.said,
    end,
    unbridge: (id, reason = "Reset") => open.get(id)?.events.onUnbridged(id, dialError(reason)),
    set: (id, counts) => void Object.assign(open.get(id) ?? {}, counts)
  }
}
