import type * as net from "node:net"
import type * as tls from "node:tls"
import type { Termination } from "../../src/domain/Termination.ts"
import { NAME_ALERT } from "../../src/tls/nameAlert.ts"
import type { DeadlineWheel, Waiting } from "../../src/traffic/DeadlineWheel.ts"
import { relayDeadline, type RelayTimes } from "../../src/traffic/relayDeadline.ts"
import { type Enough, MAX_PREREAD, type Preread, prereads } from "../../src/traffic/Preread.ts"
import {
  type AbortHow,
  type BridgeOptions,
  type Bridged,
  type ConnectionId,
  type DialError,
  type ListenerEvents,
  type LiveCounts,
  MAX_PRELUDE,
  PrereadError,
  type Secured,
  SecureError,
  type SecureOptions,
  type WarmId
} from "../../src/traffic/Transport.ts"
import { codeOf, dialError, gone, isDialCode, relayCause, tlsDialError, warmGone } from "../../src/traffic/errno.ts"
import { CloseNotify } from "./CloseNotify.ts"
import { closeInOrder, cut, finish, reset } from "./closing.ts"
import type { Handshakes, Turn } from "./Handshakes.ts"
import { type BackendEvents, type ClientEvents, dialBackend, ownClient, readBuffer } from "./OwnedSocket.ts"
import { secureBackend, type SecuredBackendEvents } from "./SecuredBackend.ts"
import { handshakeError, secureClient, type SecuredEvents } from "./SecuredClient.ts"
import type { Warm } from "./WarmSockets.ts"
import { writeCopy } from "./writeCopy.ts"

/** What all connections of the engine share. */
export interface Engine {
  readonly now: () => number
  readonly wheel: Pick<DeadlineWheel<NodeConnection>, "cancel" | "wakeAt">
  readonly takeWarm: (id: WarmId, next: BackendEvents) => Warm | undefined
  readonly discardWarm: (id: WarmId) => void
  readonly handshakes: Handshakes
  readonly forget: (connection: NodeConnection) => void
  /** Its counts have changed. None where they are read from the connection itself. */
  readonly counted: ((connection: NodeConnection) => void) | undefined
}

// Bytes a client may send ahead of its backend before the proxy stops reading it.
const EARLY_BYTES = 65_536

// For what a client still has to take when its backend was cut off.
const LAST_BYTES_MS = 10_000

type DialResult = (result: Bridged | DialError) => void
type SecureResult = (result: Secured | SecureError) => void

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
export class NodeConnection
  implements Waiting, RelayTimes, ClientEvents, BackendEvents, SecuredEvents, SecuredBackendEvents
{
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
  private readonly clientSocket: net.Socket
  /** What the client says and hears in clear: its socket, or the TLS over it. */
  private client: net.Socket
  private clientCloseNotify: CloseNotify | undefined
  /** Only the current one: a socket that was given up may still have something to say, and is not listened to. */
  private backend: net.Socket | undefined
  /** The socket below it, when TLS is between. */
  private backendSocket: net.Socket | undefined
  private backendCloseNotify: CloseNotify | undefined
  private phase: "waiting" | "dialling" | "relaying" | "closed" = "waiting"
  private phaseSince: number
  private dialled: DialResult | undefined
  private prereading: Prereading | undefined
  private securing: SecureResult | undefined
  /** Of its handshake, from when it is asked for until it is over. */
  private turn: Turn | undefined
  private protocol: string | undefined
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
  private resetAt = Infinity
  private code: string | undefined

  constructor(id: ConnectionId, accepted: net.Socket, engine: Engine, events: ListenerEvents, prerouteMs: number) {
    this.id = id
    this.engine = engine
    this.events = events
    this.prerouteMs = prerouteMs
    this.phaseSince = engine.now()
    engine.wheel.wakeAt(this, this.phaseSince + prerouteMs)
    this.clientSocket = ownClient(accepted, this)
    this.client = this.clientSocket
  }

  dial(options: BridgeOptions, done: DialResult): void {
    const tooLong = (options.prelude?.length ?? 0) > MAX_PRELUDE
    if (!this.isFree() || tooLong) {
      if (options.warm !== undefined) this.engine.discardWarm(options.warm)
      return done(this.isFree() ? dialError("EMSGSIZE") : gone())
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
    if (!this.isFree()) return done(new PrereadError({ reason: "Gone" }))
    this.prereading?.done(new PrereadError({ reason: "Gone" }))
    this.prereading = { enough: prereads[question], max: Math.min(max, MAX_PREREAD), done }
    this.lookAtEarly()
  }

  cancelPreread(): void {
    this.prereading = undefined
  }

  secure(options: SecureOptions, done: SecureResult): void {
    if (!this.isFree() || this.client !== this.clientSocket) {
      return done(new SecureError({ reason: "Gone", code: "GONE" }))
    }
    this.prereading?.done(new PrereadError({ reason: "Gone" }))
    this.prereading = undefined
    this.securing = done
    this.turn = this.engine.handshakes.begin(options.tls.maxHandshakes, () => this.shakeHands(options))
    // It may have failed at once.
    if (this.securing === undefined) this.endHandshake()
  }

  consume(bytes: number): void {
    if (this.phase !== "waiting") return
    const rest = Buffer.concat(this.early).subarray(bytes)
    this.early = rest.length === 0 ? [] : [Buffer.from(rest)]
    this.earlyBytes = rest.length
    this.engine.counted?.(this)
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

  /** `cut` gives the client what came for it, and then a FIN that its TLS can tell from an orderly end. */
  end(how: AbortHow | "cut", why: Termination, code?: string): void {
    if (this.phase === "closed" || this.termination !== undefined) return
    this.termination = why
    this.code = code
    const { dialled, prereading, securing } = this
    this.dialled = undefined
    this.prereading = undefined
    this.securing = undefined
    this.endHandshake()
    this.dropBackend(how === "rst" || how === "cut" ? "rst" : "fin")
    if (how === "rst") reset(this.client, this.clientSocket)
    else if (how !== "cut") {
      if (how === "name-alert" && this.phase === "waiting" && this.client === this.clientSocket) {
        this.clientSocket.write(NAME_ALERT)
      }
      closeInOrder(this.client, this.clientSocket)
    } else {
      cut(this.client, this.clientSocket)
      this.resetAt = this.engine.now() + LAST_BYTES_MS
      this.engine.wheel.wakeAt(this, this.resetAt)
    }
    dialled?.(gone())
    const reason = why.cause === "preroute-timeout" ? "Deadline" : "Gone"
    prereading?.done(new PrereadError({ reason }))
    securing?.(new SecureError({ reason, code: code ?? "GONE" }))
    // Its client may have closed long ago, while bytes for the backend were still waiting.
    this.settle()
  }

  /** Called by the wheel. */
  due(now: number): void {
    if (this.phase === "closed") return
    if (this.termination !== undefined) {
      if (now >= this.resetAt) reset(this.client, this.clientSocket)
      else if (this.resetAt < Infinity) this.engine.wheel.wakeAt(this, this.resetAt)
      return
    }
    if (this.phase === "relaying") return this.checkLimits(now)
    const limit = this.phase === "dialling" ? (this.options?.connectMs ?? 0) : this.prerouteMs
    if (now < this.phaseSince + limit) return this.engine.wheel.wakeAt(this, this.phaseSince + limit)
    if (this.phase === "dialling") return this.failDial(dialError("ETIMEDOUT"))
    this.end("rst", { by: "proxy", phase: "pre-route", cause: "preroute-timeout" })
  }

  clientData(length: number): boolean {
    const { backend } = this
    if (this.phase !== "relaying" || backend === undefined) {
      return this.keepEarly(Buffer.from(readBuffer.subarray(0, length)))
    }
    this.countIn(length)
    if (writeCopy(backend, readBuffer, length)) return true
    this.noteBackendStall()
    return false
  }

  clientChunk(chunk: Buffer): boolean {
    this.clientCloseNotify?.came(chunk.length)
    const { backend } = this
    if (this.phase !== "relaying" || backend === undefined) return this.keepEarly(chunk)
    this.countIn(chunk.length)
    if (backend.write(chunk)) return true
    this.noteBackendStall()
    return false
  }

  clientSecured(result: Secured, stream: tls.TLSSocket): void {
    const { securing } = this
    if (securing === undefined) return
    this.securing = undefined
    this.endHandshake()
    this.protocol = result.protocol
    this.clientCloseNotify = new CloseNotify(this.clientSocket, stream)
    securing(result)
  }

  clientRefused(error: SecureError): void {
    const { securing } = this
    if (securing === undefined) return
    this.securing = undefined
    this.endHandshake()
    this.refuse(error, securing)
  }

  clientEnd(): void {
    if (this.securing !== undefined) return this.clientError("ECONNRESET")
    if (this.clientCloseNotify?.isMissing() === true) {
      return this.end("rst", { by: "client", phase: this.publicPhase(), cause: "truncated" })
    }
    this.clientFinished = true
    this.firstFinisher ??= "client"
    if (this.phase !== "relaying") return this.lookAtEarly()
    this.noteFinish()
    if (this.backend !== undefined) finish(this.backend)
  }

  clientError(code: string): void {
    const { securing } = this
    if (securing !== undefined && relayCause(code) === "tls") {
      this.securing = undefined
      return this.refuse(handshakeError(code), securing)
    }
    this.end("rst", { by: "client", phase: this.publicPhase(), cause: relayCause(code) }, code)
  }

  clientDrain(): void {
    this.clientStalledAt = 0
    this.engine.counted?.(this)
    this.backend?.resume()
  }

  clientClose(): void {
    this.clientClosed = true
    if (this.phase !== "relaying") this.end("rst", { by: "client", phase: this.publicPhase(), cause: "rst" })
    this.settle()
  }

  backendConnect(backend: net.Socket): void {
    if (this.backend !== backend || this.phase !== "dialling") return
    const { options } = this
    const { prelude, tls } = options ?? {}
    if (prelude !== undefined && prelude.length > 0) backend.write(prelude)
    if (options === undefined || tls === undefined) return this.startRelay(backend)
    try {
      this.backend = secureBackend(backend, options, tls, this.protocol, this)
      this.backendSocket = backend
    } catch (error) {
      this.failDial(tlsDialError(codeOf(error)))
    }
  }

  backendSecured(backend: tls.TLSSocket): void {
    if (this.backend !== backend || this.phase !== "dialling" || this.backendSocket === undefined) return
    this.backendCloseNotify = new CloseNotify(this.backendSocket, backend)
    this.startRelay(backend)
  }

  private startRelay(backend: net.Socket): void {
    const now = this.engine.now()
    const connectUs = Math.round((now - this.phaseSince) * 1_000)
    const { dialled } = this
    this.dialled = undefined
    this.phase = "relaying"
    this.phaseSince = now
    this.startedAt = now
    this.lastByteAt = now
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
    this.countOut(length)
    if (writeCopy(this.client, readBuffer, length)) return true
    this.noteClientStall()
    return false
  }

  backendChunk(backend: net.Socket, chunk: Buffer): boolean {
    if (this.backend !== backend) return true
    this.backendCloseNotify?.came(chunk.length)
    this.countOut(chunk.length)
    if (this.client.write(chunk)) return true
    this.noteClientStall()
    return false
  }

  backendEnd(backend: net.Socket): void {
    if (this.backend !== backend) return
    if (this.phase === "dialling") return this.failDial(warmGone("FIN"))
    if (this.phase !== "relaying") return
    if (this.isWarm() && this.isUntouched() && !this.clientFinished) return this.unbridge(warmGone("FIN"))
    if (this.backendCloseNotify?.isMissing() === true) {
      return this.end("cut", { by: "backend", phase: "relay", cause: "truncated" })
    }
    this.backendFinished = true
    this.firstFinisher ??= "backend"
    this.noteFinish()
    finish(this.client)
  }

  backendError(backend: net.Socket, code: string): void {
    if (this.backend !== backend) return
    const isTls = this.backendSocket !== undefined && !isDialCode(code)
    const error = this.isWarm() ? warmGone(code) : isTls ? tlsDialError(code) : dialError(code)
    if (this.phase === "dialling") return this.failDial(error)
    // A backend that does not accept the proxy's certificate says so only after the handshake (RFC 8446, 4.4.2.4).
    if (this.isUntouched() && relayCause(code) !== "peer-lost") return this.unbridge(error)
    this.end("rst", { by: "backend", phase: "relay", cause: relayCause(code) }, code)
  }

  backendDrain(backend: net.Socket): void {
    if (this.backend !== backend) return
    this.backendStalledAt = 0
    this.engine.counted?.(this)
    this.client.resume()
  }

  backendClose(backend: net.Socket): void {
    if (this.backend !== backend) return
    if (this.phase === "dialling") return this.failDial(warmGone("FIN"))
    this.backend = undefined
    this.settle()
  }

  /** It may be asked something: not of one that has ended, whose sockets may be a moment from closed. */
  private isFree(): boolean {
    return this.phase === "waiting" && this.termination === undefined && this.securing === undefined
  }

  private shakeHands(options: SecureOptions): void {
    const early = Buffer.concat(this.early)
    this.early = []
    this.earlyBytes = 0
    this.engine.counted?.(this)
    try {
      this.client = secureClient(this.clientSocket, early, options, this)
    } catch (error) {
      this.clientRefused(handshakeError(codeOf(error)))
    }
  }

  private endHandshake(): void {
    this.turn?.end()
    this.turn = undefined
  }

  private refuse(error: SecureError, securing: SecureResult): void {
    const cause = error.reason === "ClientCert" ? "client-cert" : "tls"
    this.end("rst", { by: "client", phase: "pre-route", cause }, error.code)
    securing(error)
  }

  private keepEarly(bytes: Buffer): boolean {
    this.early.push(bytes)
    this.earlyBytes += bytes.length
    this.engine.counted?.(this)
    this.lookAtEarly()
    return this.earlyBytes < EARLY_BYTES
  }

  /** Before they are written: who gets them may ask at once. */
  private countIn(length: number): void {
    this.bytesIn += length
    this.lastByteAt = this.engine.now()
    this.engine.counted?.(this)
  }

  private countOut(length: number): void {
    const now = this.engine.now()
    if (this.bytesOut === 0) this.firstByteUs = Math.round((now - this.startedAt) * 1_000)
    this.bytesOut += length
    this.lastByteAt = now
    this.engine.counted?.(this)
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
    const { backend, backendSocket = backend } = this
    this.backend = undefined
    this.greeting = []
    this.backendSocket = undefined
    this.backendCloseNotify = undefined
    if (backend === undefined || backendSocket === undefined) return
    if (this.phase !== "relaying") backend.destroy()
    else if (how === "rst") reset(backend, backendSocket)
    else closeInOrder(backend, backendSocket)
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
    this.engine.counted?.(this)
    let ready = true
    for (const chunk of early) ready = backend.write(chunk)
    if (ready) return void this.client.resume()
    this.client.pause()
    this.noteBackendStall()
  }

  private noteBackendStall(): void {
    if (this.backendStalledAt === 0) this.backendStalledAt = this.engine.now()
    this.lookAfter(this.options?.limits.stallMs ?? 0)
    this.engine.counted?.(this)
  }

  private noteClientStall(): void {
    if (this.clientStalledAt === 0) this.clientStalledAt = this.engine.now()
    this.lookAfter(this.options?.limits.stallMs ?? 0)
    this.engine.counted?.(this)
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
