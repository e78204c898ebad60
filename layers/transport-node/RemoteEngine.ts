import * as Effect from "effect/Effect"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import {
  type ConnectionId,
  DialError,
  type Ended,
  type LiveCounts,
  PrereadError,
  SecureError
} from "../../src/traffic/Transport.ts"
import * as CountBoard from "./CountBoard.ts"
import * as EngineThread from "./EngineThread.ts"
import type { RemoteListeners } from "./RemoteListeners.ts"
import type { Failure, FromThread, ToThread } from "./threadMessages.ts"

interface Open {
  readonly listener: number
  readonly place: number
  /** Requests that wait for their answer. */
  readonly asked: Set<number>
}

type Asked = (answer: Extract<FromThread, { readonly request: number }> | undefined) => void

const engineLost = { by: "proxy", phase: "relay", cause: "engine-lost" } as const

// A new connection gets a place as soon as the old one's end was said, which the control side may hear of later.
const SPARE_PLACES = 1_024
/** Settings that threads keep: those of connections that are being dialled for while new ones come into force. */
const KEPT = 8

const errorOf = (failure: Failure): PrereadError | SecureError | DialError =>
  failure._tag === "PrereadError"
    ? new PrereadError(failure)
    : failure._tag === "SecureError"
      ? new SecureError(failure)
      : new DialError(failure)

/** One thread of {@link layer ThreadedTransport}: what the control side knows of it. */
export class RemoteEngine {
  readonly name: string
  private readonly listeners: RemoteListeners
  private readonly thread: EngineThread.EngineThread
  private readonly board: SharedArrayBuffer
  private readonly reader: CountBoard.Reader
  private readonly sharesPorts: boolean
  private readonly open = new Map<ConnectionId, Open>()
  private readonly asked = new Map<number, Asked>()
  private settings = new Map<ServerTls | BackendTls, number>()
  private nextId: ConnectionId
  private nextRequest = 1
  private nextSetting = 1
  private lost: ((error: Error | undefined) => void) | undefined

  constructor(
    name: string,
    options: { readonly threads: number; readonly maxConnections: number; readonly firstId: ConnectionId },
    listeners: RemoteListeners
  ) {
    this.name = name
    this.listeners = listeners
    this.nextId = options.firstId
    this.sharesPorts = options.threads > 1
    this.board = CountBoard.make(options.maxConnections + SPARE_PLACES)
    this.reader = CountBoard.reader(this.board)
    this.thread = EngineThread.make(name, {
      heard: (batch) => batch.forEach((message) => this.hear(message)),
      gone: (error) => this.lose(error)
    })
  }

  /** Begins; `lost` is called once, when the thread is gone. */
  start(lost: (error: Error | undefined) => void): void {
    this.lost = lost
    this.thread.start({ firstId: this.nextId, sharesPorts: this.sharesPorts, board: this.board })
    this.listeners.tellAll(this)
  }

  /** Nobody wants to know of its loss any more. */
  disown(): void {
    this.lost = undefined
  }

  kill(): void {
    this.thread.kill()
  }

  readonly stop: Effect.Effect<void> = Effect.callback((resume) => this.thread.stop(() => resume(Effect.void)))

  isAlive(): boolean {
    return this.thread.isAlive()
  }

  say(message: ToThread): void {
    this.thread.say(message)
  }

  size(): number {
    return this.open.size
  }

  heldBytes(): number {
    return this.reader.heldBytes()
  }

  resetWhilePaused(): number {
    return this.reader.resetWhilePaused()
  }

  counts(id: ConnectionId, out: LiveCounts): boolean {
    const open = this.open.get(id)
    if (open !== undefined) this.reader.read(open.place, id, out)
    return open !== undefined
  }

  /** Asks something about a connection; whoever is interrupted gives it up. */
  ask<A, E extends PrereadError | SecureError | DialError>(
    id: ConnectionId,
    gone: E,
    message: (request: number) => ToThread
  ): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      const open = this.open.get(id)
      if (open === undefined) return resume(Effect.fail(gone))
      const request = this.nextRequest++
      open.asked.add(request)
      this.asked.set(request, (answer) => {
        open.asked.delete(request)
        if (answer === undefined) resume(Effect.fail(gone))
        // A request is answered with what it asks for: the types are those of the operation behind it.
        else if (answer.op === "answer") resume(Effect.succeed(answer.value as A))
        else resume(Effect.fail(errorOf(answer.failure) as E))
      })
      this.say(message(request))
      return Effect.sync(() => {
        open.asked.delete(request)
        if (this.asked.delete(request)) this.say({ op: "cancel", id, request })
      })
    })
  }

  /** The number of these settings, which the thread gets when it has not had them yet. */
  serverTls(tls: ServerTls, threads: number): number {
    const share = { ...tls, maxHandshakes: Math.ceil(tls.maxHandshakes / threads) }
    return this.numberOf(tls, (number) => ({ op: "server-tls", number, tls: share }))
  }

  backendTls(tls: BackendTls): number {
    return this.numberOf(tls, (number) => ({ op: "backend-tls", number, tls }))
  }

  private numberOf(tls: ServerTls | BackendTls, message: (number: number) => ToThread): number {
    const known = this.settings.get(tls)
    if (known !== undefined) return known
    const number = this.nextSetting++
    this.settings.set(tls, number)
    this.say(message(number))
    for (const [old, given] of this.settings) {
      if (this.settings.size <= KEPT) break
      this.settings.delete(old)
      this.say({ op: "forget-tls", number: given })
    }
    return number
  }

  private hear(message: FromThread): void {
    switch (message.op) {
      case "accepted": {
        const { accepted, listener, place } = message
        this.nextId = accepted.id + 1
        this.open.set(accepted.id, { listener, place, asked: new Set() })
        return this.listeners.accepted(listener, accepted)
      }
      case "ended":
        return this.end(message.ended)
      case "unbridged": {
        const open = this.open.get(message.id)
        return open === undefined
          ? undefined
          : this.listeners.events(open.listener)?.onUnbridged(message.id, new DialError(message.error))
      }
      case "answer":
      case "failed": {
        const asked = this.asked.get(message.request)
        this.asked.delete(message.request)
        return asked?.(message)
      }
      default:
        return this.listeners.hear(this, message)
    }
  }

  private end(ended: Ended): void {
    const open = this.open.get(ended.id)
    if (open === undefined) return
    this.open.delete(ended.id)
    for (const request of open.asked) {
      const asked = this.asked.get(request)
      this.asked.delete(request)
      asked?.(undefined)
    }
    this.listeners.ended(open.listener, ended)
  }

  private lose(error: Error | undefined): void {
    const counts: LiveCounts = { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 }
    for (const [id, { place }] of this.open) {
      counts.bytesIn = 0
      counts.bytesOut = 0
      this.reader.read(place, id, counts)
      const { bytesIn, bytesOut } = counts
      this.end({ id, ...engineLost, bytesIn, bytesOut, firstByteUs: undefined, code: undefined })
    }
    this.reader.clear()
    this.settings.clear()
    this.listeners.lose(this)
    const { lost } = this
    this.lost = undefined
    lost?.(error)
  }
}
