import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { parentPort, workerData } from "node:worker_threads"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import type {
  ConnectionId,
  DialError,
  Listener,
  ListenOptions,
  LiveCounts,
  PrereadError,
  SecureError
} from "../../src/traffic/Transport.ts"
import * as CountBoard from "./CountBoard.ts"
import type { NodeConnection } from "./NodeConnection.ts"
import * as NodeTransport from "./NodeTransport.ts"
import type { Failure, FromThread, ToThread } from "./threadMessages.ts"

/** What a thread is begun with. */
export interface ThreadStart {
  readonly firstId: ConnectionId
  readonly sharesPorts: boolean
  readonly board: SharedArrayBuffer
}

/** The node engine in a thread of its own: it does what the control side says, and tells what happens, in batches. */

const REFRESH_MS = 50

const { board, firstId, sharesPorts }: ThreadStart = workerData
const counts = CountBoard.writer(board)

let said: Array<FromThread> = []
const say = (message: FromThread): void => {
  // At the end of this turn of the loop, when all that it has brought has been heard.
  if (said.push(message) === 1) setImmediate(flush)
}
const flush = (): void => {
  const batch = said
  said = []
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- no window's port
  parentPort?.postMessage(batch)
}

interface Place {
  readonly at: number
  /** The request that has bridged it. */
  bridge: number | undefined
}

const places = new Map<ConnectionId, Place>()
/** Those that have bytes waiting: their counts change without an event. */
const waiting = new Set<NodeConnection>()
const scratch: LiveCounts = { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 }
const counted = (connection: NodeConnection): void => {
  const place = places.get(connection.id)
  if (place === undefined) return void waiting.delete(connection)
  connection.counts(scratch)
  if (scratch.waiting > 0) waiting.add(connection)
  else waiting.delete(connection)
  counts.write(place.at, scratch)
}

/** A socket that listens already, for the listener that is opened now. */
let passedFd: number | undefined

const scope = Scope.makeUnsafe()
const transport = Effect.runSync(
  NodeTransport.make({ firstId, sharesPorts, counted }).pipe(
    Scope.provide(scope),
    Effect.provideService(PassedSockets, { take: () => passedFd })
  )
)
const total = (): void => {
  const { heldBytes, resetWhilePaused } = transport.census()
  counts.total(heldBytes, resetWhilePaused)
}
const opening = new Map<number, Fiber.Fiber<unknown>>()
const listeners = new Map<number, { readonly scope: Scope.Closeable; readonly listener: Listener }>()
const settings = new Map<number, ServerTls | BackendTls>()
const requests = new Map<number, Fiber.Fiber<unknown, unknown>>()

const refresh = setInterval(() => {
  for (const connection of waiting) counted(connection)
}, REFRESH_MS)

const plain = (error: PrereadError | SecureError | DialError): Failure =>
  error._tag === "PrereadError"
    ? { _tag: error._tag, reason: error.reason }
    : error._tag === "SecureError"
      ? { _tag: error._tag, reason: error.reason, code: error.code }
      : { _tag: error._tag, source: error.source, reason: error.reason, code: error.code }

const listen = (listener: number, options: ListenOptions, fd: number | undefined): void => {
  passedFd = fd
  const own = Scope.makeUnsafe()
  const opened = transport
    .listen(options, {
      onAccept: (batch) => {
        for (const accepted of batch) {
          const place = counts.take(accepted.id)
          places.set(accepted.id, { at: place, bridge: undefined })
          say({ op: "accepted", listener, place, accepted })
        }
      },
      onEnd: (batch) => {
        for (const ended of batch) {
          counts.give(places.get(ended.id)?.at ?? -1)
          places.delete(ended.id)
          say({ op: "ended", ended })
        }
      },
      onUnbridged: (id, { _tag, code, reason, source }) =>
        say({ op: "unbridged", id, error: { _tag, source, reason, code } }),
      onAcceptError: ({ code, count }) => {
        total()
        say({ op: "accept-error", listener, code, count })
      }
    })
    .pipe(
      Scope.provide(own),
      Effect.match({
        onSuccess: (opened) => {
          listeners.set(listener, { scope: own, listener: opened })
          say({ op: "listening", listener, address: opened.address })
        },
        onFailure: ({ detail, reason }) => say({ op: "not-listening", listener, reason, detail })
      })
    )
  const fiber = Effect.runFork(opened)
  opening.set(listener, fiber)
  fiber.addObserver(() => void opening.delete(listener))
}

const close = (listener: number): void => {
  const fiber = opening.get(listener)
  const closed = Effect.suspend(() => {
    const found = listeners.get(listener)
    listeners.delete(listener)
    return found === undefined ? Effect.void : Scope.close(found.scope, Exit.void)
  })
  // One that is being opened is closed then.
  Effect.runFork(
    (fiber === undefined ? Effect.void : Fiber.await(fiber)).pipe(
      Effect.andThen(closed),
      Effect.andThen(Effect.sync(() => say({ op: "closed", listener })))
    )
  )
}

type Answer = Extract<FromThread, { readonly op: "answer" }>["value"]

// What crosses is copied with all the memory it is a part of.
const own = (value: Answer): Answer => (value instanceof Uint8Array ? new Uint8Array(value) : value)

const answer = (request: number, effect: Effect.Effect<Answer, PrereadError | SecureError | DialError>): void => {
  const fiber = Effect.runFork(effect)
  requests.set(request, fiber)
  fiber.addObserver((exit) => {
    requests.delete(request)
    if (Exit.isSuccess(exit)) return say({ op: "answer", request, value: own(exit.value) })
    const error = Exit.findErrorOption(exit)
    if (error._tag === "Some") say({ op: "failed", request, failure: plain(error.value) })
  })
}

const nobodyWaits = { by: "proxy", phase: "relay", cause: "internal" } as const

const obey = (message: ToThread): void => {
  switch (message.op) {
    case "listen":
      return listen(message.listener, message.options, message.fd)
    case "close":
      return close(message.listener)
    case "pause":
      return listeners.get(message.listener)?.listener.pause(message.reason)
    case "resume":
      return listeners.get(message.listener)?.listener.resume()
    case "server-tls":
    case "backend-tls":
      return void settings.set(message.number, message.tls)
    case "forget-tls":
      return void settings.delete(message.number)
    case "preread":
      return answer(message.request, transport.preread(message.id, message.question, message.max))
    case "consume":
      return transport.consume(message.id, message.bytes)
    case "secure": {
      // By number: what was given as a server's is one.
      const tls = settings.get(message.tls) as ServerTls
      return answer(message.request, transport.secure(message.id, { tls, pair: message.pair }))
    }
    case "bridge": {
      const tls = message.tls === undefined ? undefined : (settings.get(message.tls) as BackendTls)
      const options = tls === undefined ? message.options : { ...message.options, tls }
      const bridged = Effect.tap(transport.bridge(message.id, options), () =>
        Effect.sync(() => {
          const place = places.get(message.id)
          if (place !== undefined) place.bridge = message.request
        })
      )
      return answer(message.request, bridged)
    }
    case "cancel": {
      const fiber = requests.get(message.request)
      if (fiber !== undefined) return void Effect.runFork(Fiber.interrupt(fiber))
      return places.get(message.id)?.bridge === message.request
        ? transport.abort(message.id, "rst", nobodyWaits)
        : undefined
    }
    case "abort":
      return transport.abort(message.id, message.how, message.why)
    case "stop": {
      clearInterval(refresh)
      for (const listener of listeners.keys()) close(listener)
      Effect.runFork(Scope.close(scope, Exit.void)).addObserver(() => {
        // What the end of the connections has to tell is told in the next turns, and then there is nothing left to live for.
        parentPort?.unref()
      })
      return
    }
    default:
  }
}

// What is cut by a fault must not look like an end to anybody: Node would close it all with FIN.
process.once("uncaughtException", (fault) => {
  for (const id of places.keys()) transport.abort(id, "rst", nobodyWaits)
  throw fault
})

parentPort?.on("message", (batch: ReadonlyArray<ToThread>) => batch.forEach(obey))
