import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as net from "node:net"
import { performance } from "node:perf_hooks"
import * as DeadlineWheel from "../../src/traffic/DeadlineWheel.ts"
import {
  type Accepted,
  type Census,
  type ConnectionId,
  DialError,
  type Listener,
  type ListenerEvents,
  type ListenOptions,
  PrereadError,
  SecureError,
  Transport
} from "../../src/traffic/Transport.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import { codeOf, gone, listenError } from "../../src/traffic/errno.ts"
import { Handshakes } from "./Handshakes.ts"
import { type Engine, NodeConnection } from "./NodeConnection.ts"
import * as WarmSockets from "./WarmSockets.ts"

const TICK_MS = 50

const unknown = { localAddress: undefined, localPort: undefined }

const now = (): number => performance.now()

export interface NodeOptions {
  /** The number of its first connection. */
  readonly firstId: ConnectionId
  /** Other threads listen on the same ports. */
  readonly sharesPorts: boolean
  /** Called whenever the counts of a connection have changed. */
  readonly counted?: (connection: NodeConnection) => void
}

/** The portable engine on `node:net`: works wherever Node does, and is the reference for faster ones. */
export const layer: Layer.Layer<Transport> = Layer.effect(
  Transport,
  Effect.suspend(() => make({ firstId: 1, sharesPorts: false }))
)

/** It may also be a thread's, beside another engine, for what that can't do. */
export const make = Effect.fnUntraced(function* ({ counted, firstId, sharesPorts }: NodeOptions) {
  const connections = new Map<ConnectionId, NodeConnection>()
  let nextId = firstId
  let listeners = 0
  let resetWhilePaused = 0
  const passed = yield* PassedSockets
  const wheel = DeadlineWheel.make<DeadlineWheel.Waiting & { due: (now: number) => void }>(TICK_MS, now())
  const warm = WarmSockets.make(now, wheel)
  const handshakes = new Handshakes(now)
  const engine: Engine = {
    now,
    wheel,
    takeWarm: warm.take,
    discardWarm: warm.discard,
    handshakes,
    forget: (connection) => connections.delete(connection.id),
    counted
  }
  const tick = (): void => {
    wheel.advance(now(), (connection) => connection.due(now()))
    handshakes.advance(now())
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => setInterval(tick, TICK_MS)),
    (timer) =>
      Effect.sync(() => {
        clearInterval(timer)
        const why = { by: "proxy", phase: "drain", cause: "forced" } as const
        for (const connection of connections.values()) connection.end("rst", why)
        warm.discardAll()
      })
  )

  const accept = (socket: net.Socket, options: ListenOptions, events: ListenerEvents): void => {
    const { remoteAddress, remotePort } = socket
    if (remoteAddress === undefined || remotePort === undefined) {
      // The client has reset while it waited in the backlog: nothing to serve.
      socket.on("error", () => undefined)
      socket.destroy()
      return
    }
    // While the socket has its handle.
    const { localAddress, localPort } = options.tellLocal === true ? socket : unknown
    const id = nextId++
    connections.set(id, new NodeConnection(id, socket, engine, events, options.prerouteMs))
    const remote = { address: remoteAddress, port: remotePort }
    const accepted: Accepted =
      localAddress === undefined || localPort === undefined
        ? { id, remote }
        : { id, remote, local: { address: localAddress, port: localPort } }
    events.onAccept([accepted])
  }

  const listen = Effect.fnUntraced(function* (options: ListenOptions, events: ListenerEvents) {
    let pausedFor: string | undefined
    const server = net.createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: options.keepaliveMs > 0,
      keepAliveInitialDelay: options.keepaliveMs
    })
    let taken = 0
    server.on("connection", (socket) => {
      taken++
      if (pausedFor === undefined) return accept(socket, options, events)
      // node:net can't leave clients in the backlog, so they are told at once.
      resetWhilePaused++
      socket.on("error", () => undefined)
      socket.resetAndDestroy()
      events.onAcceptError({ code: pausedFor, count: 1 })
    })
    const open = Effect.callback<void, ReturnType<typeof listenError>>((resume) => {
      const fail = (error: Error): void => resume(Effect.fail(listenError(options.address, codeOf(error))))
      server.once("error", fail)
      const {
        address: { address: host, port },
        backlog,
        ipv6Only
      } = options
      const fd = passed.take(options.address)
      server.listen(
        fd === undefined ? { host, port, backlog, ipv6Only, reusePort: sharesPorts } : { fd, backlog },
        () => {
          server.off("error", fail)
          server.on("error", (error) => events.onAcceptError({ code: codeOf(error), count: 1 }))
          listeners++
          resume(Effect.void)
        }
      )
    })
    // What waits in the accept queue is taken first: libuv takes one connection a turn, so this goes on until a turn
    // has brought none, or as many have come as could have been waiting.
    const takeWaiting = Effect.gen(function* () {
      const most = taken + options.backlog
      let before = -1
      while (taken > before && taken < most) {
        before = taken
        yield* turn
        yield* turn
      }
    })
    const close = Effect.suspend(() => {
      if (!server.listening) return Effect.void
      const shut = Effect.sync(() => {
        if (!server.listening) return
        listeners--
        server.close()
      })
      return takeWaiting.pipe(Effect.andThen(shut), Effect.andThen(turn))
    })
    yield* Effect.acquireRelease(open, () => close)
    const bound = server.address()
    const address =
      bound === null || typeof bound === "string" ? options.address : { address: bound.address, port: bound.port }
    const listener: Listener = {
      address,
      pause: (reason) => void (pausedFor = reason),
      resume: () => void (pausedFor = undefined),
      close
    }
    return listener
  })

  return Transport.of({
    engine: "node",
    listen,
    bridge: (id, options) =>
      Effect.callback((resume) => {
        const connection = connections.get(id)
        if (connection === undefined) {
          if (options.warm !== undefined) warm.discard(options.warm)
          return resume(Effect.fail(gone()))
        }
        connection.dial(options, (result) => {
          resume(result instanceof DialError ? Effect.fail(result) : Effect.succeed(result))
        })
        return Effect.sync(() => connection.cancelDial())
      }),
    preread: (id, question, max) =>
      Effect.callback((resume) => {
        const connection = connections.get(id)
        if (connection === undefined) return resume(Effect.fail(new PrereadError({ reason: "Gone" })))
        connection.preread(question, max, (result) => {
          resume(result instanceof PrereadError ? Effect.fail(result) : Effect.succeed(result))
        })
        return Effect.sync(() => connection.cancelPreread())
      }),
    consume: (id, bytes) => connections.get(id)?.consume(bytes),
    secure: (id, options) =>
      Effect.callback((resume) => {
        const connection = connections.get(id)
        if (connection === undefined) return resume(Effect.fail(new SecureError({ reason: "Gone", code: "GONE" })))
        connection.secure(options, (result) => {
          resume(result instanceof SecureError ? Effect.fail(result) : Effect.succeed(result))
        })
      }),
    warm: warm.open,
    discard: warm.discard,
    counts: (id, out) => {
      const connection = connections.get(id)
      connection?.counts(out)
      return connection !== undefined
    },
    abort: (id, how, why) => connections.get(id)?.end(how, why),
    census: (): Census => ({
      connections: connections.size,
      warm: warm.size(),
      listeners,
      fds: listeners + 2 * connections.size + warm.size(),
      threads: 0,
      threadsLost: 0,
      pipes: 0,
      heldBytes: 0,
      waitingMessages: 0,
      toThreadsBytes: 0,
      fromThreadsBytes: 0,
      resetWhilePaused
    })
  })
})

/** One turn of the event loop, polls included. */
const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
