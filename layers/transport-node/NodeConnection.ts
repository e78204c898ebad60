import type * as net from "node:net"
import type { Termination } from "../../src/domain/Termination.ts"
import type { DeadlineWheel, Waiting } from "../../src/traffic/DeadlineWheel.ts"
import { relayDeadline, type RelayTimes } from "../../src/traffic/relayDeadline.ts"
import { type Enough, MAX_PREREAD, type Preread, prereads } from "../../src/traffic/Preread.ts"
import {
  type BridgeOptions,
  type Bridged,
  type ConnectionId,
  type DialError,
  type ListenerEvents,
  type LiveCounts,
  MAX_PRELUDE,
  PrereadError,
  type WarmId
} from "../../src/traffic/Transport.ts"
import { closeInOrder, finish, reset } from "./closing.ts"
import { dialError, gone, relayCause, warmGone } from "../../src/traffic/errno.ts"
import { writeCopy } from "./writeCopy.ts"
import { type BackendEvents, type ClientEvents, dialBackend, ownClient, readBuffer } from "./OwnedSocket.ts"
import type { Warm } from "./WarmSockets.ts"

/** What all connections of the engine share. */
export interface Engine {
  readonly now: () => number
  readonly wheel: Pick<DeadlineWheel<NodeConnection>, "cancel" | "wakeAt">
  readonly takeWarm: (id: WarmId, next: BackendEvents) => Warm | undefined
  readonly discardWarm: (id: WarmId) => void
  readonly forget: (connection: NodeConnection) => void
}

// Bytes a client may send ahead of its backend before the proxy stops reading it.
const EARLY_BYTES = 65_536

type DialResult = (result: Bridged | DialError) => void

/** Somebody who waits for the first bytes. */
interface Prereading {
  readonly enough: Enough
  readonly max: number
  readonly done: (result: Uint8Array | PrereadError) => void
}

/**
 * One accepted connection: waiting for its backend, dialling, relaying, closed. The client is read from the start, since
 * only so does its reset show; what it sends early is kept for the backend that is found.
 */
export class NodeConnection implements Waiting, RelayTimes, ClientEvents, BackendEvents {
  readonly id: ConnectionId
  dueTick = 0
  startedAt = 0
  lastByteAt = 0
  finishedAt = 0
  clientStalledAt = 0
  backendStalledAt = 0
  private readonly engine: Engine
  private readonly events: ListenerEvents
  private readonly prerouteMs: number
  private readonly client: net.Socket
  /** Only the current one: a socket that was given up may still have something to say, and is not listened to. */
  private backend: net.Socket | undefined
  private phase: "waiting" | "dialling" | "relaying" | "closed" = "waiting"
  private phaseSince: number
  private dialled: DialResult | undefined
  private prereading: Prereading | undefined
  private options: BridgeOptions | undefined
  private early: Array<Buffer> = []
  /** Of a backend that was dialled ahead: what it has said before it had a client. */
  private greeting: Array<Buffer> = []
  private earlyBytes = 0
  private bytesIn = 0
  private bytesOut = 0
  private firstByteUs: number | undefined
  private clientFinished = false
  private clientClosed = false
  private backendFinished = false
  private firstFinisher: "client" | "backend" | undefined
  private termination: Termination | undefined
  private code: string | undefined

  constructor(id: ConnectionId, accepted: net.Socket, engine: Engine, events: ListenerEvents, prerouteMs: number) {
    this.id = id
    this.engine = engine
    this.events = events
    this.prerouteMs = prerouteMs
    this.phaseSince = engine.now()
    engine.wheel.wakeAt(this, this.phaseSince + prerouteMs)
    this.client = ownClient(accepted, this)
  }

  dial(options: BridgeOptions, done: DialResult): void {
    const tooLong = (options.prelude?.length ?? 0) > MAX_PRELUDE
    if (this.phase !== "waiting" || tooLong) {
      if (options.warm !== undefined) this.engine.discardWarm(options.warm)
      return done(this.phase === "waiting" ? dialError("EMSGSIZE") : gone())
    }
    // A bridge takes the bytes that were to be looked at.
    this.prereading?.done(new PrereadError({ reason: "Gone" }))
    this.prereading = undefined
    this.enter("dialling", options.connectMs)
    this.dialled = done
    this.options = options
    if (options.warm === undefined) this.backend = dialBackend(options, this)
    else this.takeOver(options.warm)
  }

  preread(question: Preread, max: number, done: Prereading["done"]): void {
    if (this.phase !== "waiting" || this.termination !== undefined) return done(new PrereadError({ reason: "Gone" }))
    this.prereading?.done(new PrereadError({ reason: "Gone" }))
    this.prereading = { enough: prereads[question], max: Math.min(max, MAX_PREREAD), done }
    this.lookAtEarly()
  }

  cancelPreread(): void {
    this.prereading = undefined
  }

  consume(bytes: number): void {
    if (this.phase !== "waiting") return
    const rest = Buffer.concat(this.early).subarray(bytes)
    this.early = rest.length === 0 ? [] : [Buffer.from(rest)]
    this.earlyBytes = rest.length
    this.client.resume()
  }

  /** Gives the dial up; the client waits for another. */
  cancelDial(): void {
    if (this.phase !== "dialling") return
    this.dialled = undefined
    this.dropBackend("rst")
    this.enter("waiting", this.prerouteMs)
  }

  counts(out: LiveCounts): void {
    out.bytesIn = this.bytesIn
    out.bytesOut = this.bytesOut
    out.idleMs = this.engine.now() - Math.max(this.lastByteAt, this.phaseSince)
    out.waiting = this.earlyBytes + this.client.writableLength + (this.backend?.writableLength ?? 0)
  }

  end(how: "fin" | "rst", why: Termination, code?: string): void {
    if (this.phase === "closed" || this.termination !== undefined) return
    this.termination = why
    this.code = code
    const { dialled, prereading } = this
    this.dialled = undefined
    this.prereading = undefined
    this.dropBackend(how)
    if (how === "rst") reset(this.client)
    else closeInOrder(this.client)
    dialled?.(gone())
    prereading?.done(new PrereadError({ reason: why.cause === "preroute-timeout" ? "Deadline" : "Gone" }))
    // Its client may have closed long ago, while bytes for the backend were still waiting.
    this.settle()
  }

  /** Called by the wheel. */
  due(now: number): void {
    if (this.phase === "closed" || this.termination !== undefined) return
    if (this.phase === "relaying") return this.checkLimits(now)
    const limit = this.phase === "dialling" ? (this.options?.connectMs ?? 0) : this.prerouteMs
    if (now < this.phaseSince + limit) return this.engine.wheel.wakeAt(this, this.phaseSince + limit)
    if (this.phase === "dialling") return this.failDial(dialError("ETIMEDOUT"))
    this.end("rst", { by: "proxy", phase: "pre-route", cause: "preroute-timeout" })
  }

  clientData(length: number): boolean {
    const { backend } = this
    if (this.phase !== "relaying" || backend === undefined) {
      this.early.push(Buffer.from(readBuffer.subarray(0, length)))
      this.earlyBytes += length
      this.lookAtEarly()
      return this.earlyBytes < EARLY_BYTES
    }
    this.bytesIn += length
    this.lastByteAt = this.engine.now()
    if (writeCopy(backend, readBuffer, length)) return true
    this.noteBackendStall()
    return false
  }

  clientEnd(): void {
    this.clientFinished = true
    this.firstFinisher ??= "client"
    if (this.phase !== "relaying") return this.lookAtEarly()
    this.noteFinish()
    if (this.backend !== undefined) finish(this.backend)
  }

  clientError(code: string): void {
    this.end("rst", { by: "client", phase: this.publicPhase(), cause: relayCause(code) }, code)
  }

  clientDrain(): void {
    this.clientStalledAt = 0
    this.backend?.resume()
  }

  clientClose(): void {
    this.clientClosed = true
    if (this.phase !== "relaying") this.end("rst", { by: "client", phase: this.publicPhase(), cause: "rst" })
    this.settle()
  }

  backendConnect(backend: net.Socket): void {
    if (this.backend !== backend || this.phase !== "dialling") return
    const now = this.engine.now()
    const connectUs = Math.round((now - this.phaseSince) * 1_000)
    const { dialled } = this
    this.dialled = undefined
    this.phase = "relaying"
    this.phaseSince = now
    this.startedAt = now
    this.lastByteAt = now
    const { prelude } = this.options ?? {}
    if (prelude !== undefined && prelude.length > 0) backend.write(prelude)
    this.flushEarly(backend)
    this.flushGreeting(backend)
    if (this.clientFinished) {
      this.noteFinish()
      finish(backend)
    }
    this.checkLimits(now)
    dialled?.({ connectUs })
  }

  backendData(backend: net.Socket, length: number): boolean {
    if (this.backend !== backend) return true
    // Only of one that was dialled ahead, within the turns of its hand-over.
    if (this.phase === "dialling") return this.greeting.push(Buffer.from(readBuffer.subarray(0, length))) > 0
    const now = this.engine.now()
    if (this.bytesOut === 0) this.firstByteUs = Math.round((now - this.startedAt) * 1_000)
    this.bytesOut += length
    this.lastByteAt = now
    if (writeCopy(this.client, readBuffer, length)) return true
    if (this.clientStalledAt === 0) this.clientStalledAt = now
    this.lookAfter(this.options?.limits.stallMs ?? 0)
    return false
  }

  backendEnd(backend: net.Socket): void {
    if (this.backend !== backend) return
    if (this.phase === "dialling") return this.failDial(warmGone("FIN"))
    if (this.phase !== "relaying") return
    if (this.isWarm() && this.isUntouched() && !this.clientFinished) return this.unbridge(warmGone("FIN"))
    this.backendFinished = true
    this.firstFinisher ??= "backend"
    this.noteFinish()
    finish(this.client)
  }

  backendError(backend: net.Socket, code: string): void {
    if (this.backend !== backend) return
    const error = this.isWarm() ? warmGone(code) : dialError(code)
    if (this.phase === "dialling") return this.failDial(error)
    if (this.isUntouched() && relayCause(code) === "rst") return this.unbridge(error)
    this.end("rst", { by: "backend", phase: "relay", cause: relayCause(code) }, code)
  }

  backendDrain(backend: net.Socket): void {
    if (this.backend !== backend) return
    this.backendStalledAt = 0
    this.client.resume()
  }

  backendClose(backend: net.Socket): void {
    if (this.backend !== backend) return
    if (this.phase === "dialling") return this.failDial(warmGone("FIN"))
    this.backend = undefined
    this.settle()
  }

  private enter(phase: "waiting" | "dialling", limitMs: number): void {
    this.phase = phase
    this.phaseSince = this.engine.now()
    this.engine.wheel.wakeAt(this, this.phaseSince + limitMs)
  }

  private publicPhase(): Termination["phase"] {
    return this.phase === "relaying" ? "relay" : this.phase === "dialling" ? "dial" : "pre-route"
  }

  /** Ends the relay if a limit has passed; else has itself woken for the next. */
  private checkLimits(now: number): void {
    const next = this.options === undefined ? Infinity : relayDeadline(this, this.options.limits, now)
    if (typeof next !== "number") this.end("rst", next)
    else if (next < Infinity) this.engine.wheel.wakeAt(this, next)
  }

  private lookAfter(ms: number): void {
    if (ms > 0) this.engine.wheel.wakeAt(this, this.engine.now() + ms)
  }

  private failDial(error: DialError): void {
    const { dialled } = this
    this.dialled = undefined
    this.dropBackend("rst")
    this.enter("waiting", this.prerouteMs)
    dialled?.(error)
  }

  private isWarm(): boolean {
    return this.options?.warm !== undefined
  }

  /** Nothing went either way, so that another backend can still have the client. */
  private isUntouched(): boolean {
    return this.bytesIn === 0 && this.bytesOut === 0 && !this.backendFinished
  }

  private unbridge(error: DialError): void {
    this.dropBackend("rst")
    this.finishedAt = 0
    this.enter("waiting", this.prerouteMs)
    this.events.onUnbridged(this.id, error)
  }

  /**
   * The kernel may know already that it is dead. Node hears of that in its next poll, so two turns are waited for: the
   * first ends the one that has brought the client.
   */
  private takeOver(id: WarmId): void {
    const warm = this.engine.takeWarm(id, this)
    if (warm === undefined) return this.failDial(warmGone("GONE"))
    const { greeting, socket } = warm
    this.backend = socket
    this.greeting = [...greeting]
    setImmediate(() => setImmediate(() => this.backendConnect(socket)))
  }

  private flushGreeting(backend: net.Socket): void {
    const { greeting } = this
    if (greeting.length === 0) return
    this.greeting = []
    this.firstByteUs = 0
    let ready = true
    for (const chunk of greeting) {
      this.bytesOut += chunk.length
      ready = this.client.write(chunk)
    }
    if (ready) return
    backend.pause()
    this.clientStalledAt = this.engine.now()
    this.lookAfter(this.options?.limits.stallMs ?? 0)
  }

  private dropBackend(how: "fin" | "rst"): void {
    const { backend } = this
    this.backend = undefined
    this.greeting = []
    if (backend === undefined) return
    if (this.phase !== "relaying") backend.destroy()
    else if (how === "rst") reset(backend)
    else closeInOrder(backend)
  }

  private lookAtEarly(): void {
    const { prereading } = this
    if (prereading === undefined) return
    // Kept in one piece: who sends byte by byte must not have them put together again each time.
    if (this.early.length > 1) this.early = [Buffer.concat(this.early)]
    const bytes = (this.early[0] ?? Buffer.alloc(0)).subarray(0, prereading.max)
    const verdict = prereading.enough(bytes, this.clientFinished)
    if (verdict === "more" && bytes.length < prereading.max) return
    this.prereading = undefined
    const failed = verdict === "more" ? "TooLong" : verdict === "malformed" ? "Malformed" : undefined
    prereading.done(failed === undefined ? bytes : new PrereadError({ reason: failed }))
  }

  private flushEarly(backend: net.Socket): void {
    const { early } = this
    if (early.length === 0) return
    this.early = []
    this.bytesIn += this.earlyBytes
    this.earlyBytes = 0
    let ready = true
    for (const chunk of early) ready = backend.write(chunk)
    if (ready) return void this.client.resume()
    this.client.pause()
    this.noteBackendStall()
  }

  private noteBackendStall(): void {
    if (this.backendStalledAt === 0) this.backendStalledAt = this.engine.now()
    this.lookAfter(this.options?.limits.stallMs ?? 0)
  }

  /** One side is done: from now on the other has to finish within the FIN limit. */
  private noteFinish(): void {
    if (this.finishedAt === 0) this.finishedAt = this.engine.now()
    this.lookAfter(this.options?.limits.finMs ?? 0)
  }

  /** Tells the end once both sockets are closed. */
  private settle(): void {
    if (!this.clientClosed || this.phase === "closed" || this.backend !== undefined) return
    this.phase = "closed"
    this.engine.wheel.cancel(this)
    this.engine.forget(this)
    const { bytesIn, bytesOut, code, firstByteUs, id } = this
    const why = this.termination ?? { by: this.firstFinisher ?? "client", phase: "relay", cause: "fin" }
    const { by, cause, phase } = why
    this.events.onEnd([{ id, by, phase, cause, bytesIn, bytesOut, firstByteUs, code }])
  }
}
