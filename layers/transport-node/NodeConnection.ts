import * as net from "node:net"
import type { Termination } from "../../src/domain/Termination.ts"
import type { DeadlineWheel, Waiting } from "../../src/traffic/DeadlineWheel.ts"
import type {
  BridgeOptions,
  Bridged,
  ConnectionId,
  DialError,
  Ended,
  ListenerEvents,
  LiveCounts
} from "../../src/traffic/Transport.ts"
import { codeOf, dialError, gone, relayCause } from "./errno.ts"

/** What all connections of the engine share. */
export interface Engine {
  readonly now: () => number
  readonly wheel: DeadlineWheel<NodeConnection>
  readonly forget: (connection: NodeConnection) => void
}

// Bytes a client may send ahead of its backend before the proxy stops reading it.
const EARLY_BYTES = 65_536

/**
 * All sockets read into this one buffer; what was read is copied out at once, before the next read can happen. A buffer of
 * its own for each connection would cost 64 kB of memory each, and handing the shared one to `write` corrupts: a write that
 * the kernel does not take at once keeps pointing at it.
 */
const readBuffer = Buffer.allocUnsafeSlow(65_536)

type DialResult = (result: Bridged | DialError) => void

/** One accepted connection: waiting for its backend, dialling, relaying, closed. */
export class NodeConnection implements Waiting {
  readonly id: ConnectionId
  dueTick = 0
  private readonly engine: Engine
  private readonly events: ListenerEvents
  private readonly prerouteMs: number
  private readonly client: net.Socket
  private backend: net.Socket | undefined
  private phase: "waiting" | "dialling" | "relaying" | "closed" = "waiting"
  private deadline: number
  private dialled: DialResult | undefined
  private bridge: BridgeOptions | undefined
  /** What the client sent before it had a backend. */
  private early: Array<Buffer> = []
  private earlyBytes = 0
  private bytesIn = 0
  private bytesOut = 0
  private startedAt = 0
  private lastByteAt = 0
  private firstByteUs: number | undefined
  private clientFinished = false
  private clientClosed = false
  private backendFinished = false
  private firstFinisher: "client" | "backend" | undefined
  private finishedAt = 0
  /** When the side began to take nothing; 0 while nothing waits for it. */
  private clientStalledAt = 0
  private backendStalledAt = 0
  private termination: Termination | undefined
  private code: string | undefined

  constructor(id: ConnectionId, client: net.Socket, engine: Engine, events: ListenerEvents, prerouteMs: number) {
    this.id = id
    this.client = client
    this.engine = engine
    this.events = events
    this.prerouteMs = prerouteMs
    this.deadline = engine.now() + prerouteMs
    engine.wheel.wakeAt(this, this.deadline)
    client.on("data", (chunk: Buffer) => this.onClientData(chunk))
    client.on("end", () => this.onClientEnd())
    client.on("error", (error) => this.onClientError(codeOf(error)))
    client.on("drain", () => this.onClientDrain())
    client.on("close", () => this.onClientClose())
  }

  dial(options: BridgeOptions, done: DialResult): void {
    if (this.phase !== "waiting") return done(gone())
    this.phase = "dialling"
    this.dialled = done
    this.bridge = options
    const startedAt = this.engine.now()
    this.deadline = startedAt + options.connectMs
    this.engine.wheel.wakeAt(this, this.deadline)
    const backend = net.connect({
      host: options.address.address,
      port: options.address.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: options.keepaliveMs > 0,
      keepAliveInitialDelay: options.keepaliveMs,
      onread: { buffer: readBuffer, callback: (length) => this.onBackendData(length) }
    })
    this.backend = backend
    backend.on("connect", () => this.onConnected(backend, startedAt))
    backend.on("end", () => this.onBackendEnd(backend))
    backend.on("error", (error) => this.onBackendError(backend, codeOf(error)))
    backend.on("drain", () => this.onBackendDrain())
    backend.on("close", () => this.onBackendClose(backend))
  }

  /** Gives the dial up; the client waits for another. */
  cancelDial(): void {
    if (this.phase !== "dialling") return
    this.dropBackend()
    this.wait()
  }

  counts(out: LiveCounts): void {
    out.bytesIn = this.bytesIn
    out.bytesOut = this.bytesOut
    out.idleMs = this.engine.now() - this.lastByteAt
    out.waiting = this.earlyBytes + this.client.writableLength + (this.backend?.writableLength ?? 0)
  }

  end(how: "fin" | "rst", why: Termination, code?: string): void {
    if (this.phase === "closed" || this.termination !== undefined) return
    this.termination = why
    this.code = code
    const { dialled } = this
    this.dialled = undefined
    this.dropBackend(how)
    // A client that takes nothing would keep an orderly close waiting for ever.
    if (how === "rst" || this.client.writableLength > 0) this.client.resetAndDestroy()
    else {
      this.client.end()
      this.client.destroySoon()
    }
    dialled?.(gone())
  }

  /** Called by the wheel. */
  due(now: number): void {
    if (this.phase === "closed") return
    const next = this.phase === "relaying" ? this.checkRelay(now) : this.checkDeadline(now)
    if (next < Infinity) this.engine.wheel.wakeAt(this, next)
  }

  private checkDeadline(now: number): number {
    if (now < this.deadline) return this.deadline
    if (this.phase === "dialling") this.failDial(dialError("ETIMEDOUT"))
    else this.end("rst", { by: "proxy", phase: "pre-route", cause: "preroute-timeout" })
    return this.phase === "waiting" ? this.deadline : Infinity
  }

  /** Ends the relay if a limit has passed; else says when to look again. */
  private checkRelay(now: number): number {
    const limits = this.bridge?.limits
    if (limits === undefined) return Infinity
    let next = Infinity
    const passed = (since: number, limit: number): boolean => {
      if (limit <= 0 || since === 0) return false
      if (now >= since + limit) return true
      next = Math.min(next, since + limit)
      return false
    }
    const stop = (cause: Termination["cause"], by: Termination["by"] = "proxy"): number => {
      this.end("rst", { by, phase: "relay", cause })
      return Infinity
    }
    if (passed(this.clientStalledAt, limits.stallMs)) return stop("stall-timeout", "client")
    if (passed(this.backendStalledAt, limits.stallMs)) return stop("stall-timeout", "backend")
    if (this.finishedAt > 0 && passed(Math.max(this.finishedAt, this.lastByteAt), limits.finMs))
      return stop("fin-timeout")
    if (passed(this.lastByteAt, limits.idleMs)) return stop("idle-timeout")
    if (passed(this.startedAt, limits.maxAgeMs)) return stop("max-age")
    return next
  }

  private wait(): void {
    this.phase = "waiting"
    this.deadline = this.engine.now() + this.prerouteMs
    this.engine.wheel.wakeAt(this, this.deadline)
  }

  private failDial(error: DialError): void {
    const { dialled } = this
    this.dialled = undefined
    this.dropBackend()
    this.wait()
    dialled?.(error)
  }

  /** Closes the backend's socket and stops listening to it; its late events find it is no longer ours. */
  private dropBackend(how: "fin" | "rst" = "rst"): void {
    const { backend } = this
    this.backend = undefined
    if (backend === undefined) return
    if (how === "fin" && this.phase === "relaying") {
      backend.end()
      backend.destroySoon()
    } else if (this.phase === "relaying") backend.resetAndDestroy()
    else backend.destroy()
  }

  private onConnected(backend: net.Socket, startedAt: number): void {
    if (this.backend !== backend || this.phase !== "dialling") return
    this.phase = "relaying"
    const now = this.engine.now()
    this.startedAt = now
    this.lastByteAt = now
    const { dialled } = this
    this.dialled = undefined
    this.flushEarly(backend)
    if (this.clientFinished) {
      this.noteFinish()
      backend.end()
    }
    const next = this.checkRelay(now)
    if (next < Infinity) this.engine.wheel.wakeAt(this, next)
    dialled?.({
      connectUs: Math.round((now - startedAt) * 1_000),
      local: { address: backend.localAddress ?? "", port: backend.localPort ?? 0 }
    })
  }

  private flushEarly(backend: net.Socket): void {
    const { early } = this
    if (early.length === 0) return
    this.early = []
    this.bytesIn += this.earlyBytes
    this.earlyBytes = 0
    let ready = true
    for (const chunk of early) ready = backend.write(chunk)
    if (!ready) this.stallBackend()
    else if (this.client.isPaused()) this.client.resume()
  }

  private onClientData(chunk: Buffer): void {
    const { backend } = this
    if (this.phase === "relaying" && backend !== undefined) {
      this.bytesIn += chunk.length
      this.lastByteAt = this.engine.now()
      if (!backend.write(chunk)) this.stallBackend()
      return
    }
    this.early.push(chunk)
    this.earlyBytes += chunk.length
    if (this.earlyBytes >= EARLY_BYTES) this.client.pause()
  }

  private stallBackend(): void {
    this.client.pause()
    if (this.backendStalledAt === 0) this.backendStalledAt = this.engine.now()
    this.lookAfter(this.bridge?.limits.stallMs ?? 0)
  }

  /** False pauses the backend's socket. */
  private onBackendData(length: number): boolean {
    if (this.phase !== "relaying") return true
    const now = this.engine.now()
    if (this.bytesOut === 0) this.firstByteUs = Math.round((now - this.startedAt) * 1_000)
    this.bytesOut += length
    this.lastByteAt = now
    const chunk = Buffer.allocUnsafe(length)
    readBuffer.copy(chunk, 0, 0, length)
    if (this.client.write(chunk)) return true
    if (this.clientStalledAt === 0) this.clientStalledAt = now
    this.lookAfter(this.bridge?.limits.stallMs ?? 0)
    return false
  }

  private onBackendDrain(): void {
    this.backendStalledAt = 0
    this.client.resume()
  }

  private onClientDrain(): void {
    this.clientStalledAt = 0
    this.backend?.resume()
  }

  private lookAfter(ms: number): void {
    if (ms > 0) this.engine.wheel.wakeAt(this, this.engine.now() + ms)
  }

  private onClientEnd(): void {
    this.clientFinished = true
    this.firstFinisher ??= "client"
    if (this.phase !== "relaying") return
    this.noteFinish()
    this.backend?.end()
  }

  private onBackendEnd(backend: net.Socket): void {
    if (this.backend !== backend || this.phase !== "relaying") return
    this.backendFinished = true
    this.firstFinisher ??= "backend"
    this.noteFinish()
    this.client.end()
  }

  /** One side is done: from now on the other has to finish within the FIN limit. */
  private noteFinish(): void {
    if (this.finishedAt === 0) this.finishedAt = this.engine.now()
    this.lookAfter(this.bridge?.limits.finMs ?? 0)
  }

  private onClientError(code: string): void {
    const phase = this.phase === "relaying" ? "relay" : this.phase === "dialling" ? "dial" : "pre-route"
    this.end("rst", { by: "client", phase, cause: relayCause(code) }, code)
  }

  private onBackendError(backend: net.Socket, code: string): void {
    if (this.backend !== backend) return
    if (this.phase === "dialling") return this.failDial(dialError(code))
    if (this.phase !== "relaying") return
    const untouched = this.bytesIn === 0 && this.bytesOut === 0 && this.client.bytesWritten === 0
    if (untouched && !this.backendFinished && relayCause(code) === "rst") {
      this.dropBackend()
      this.finishedAt = 0
      this.wait()
      return this.events.onUnbridged(this.id, dialError(code))
    }
    this.end("rst", { by: "backend", phase: "relay", cause: relayCause(code) }, code)
  }

  private onBackendClose(backend: net.Socket): void {
    if (this.backend !== backend) return
    this.backend = undefined
    this.finish()
  }

  private onClientClose(): void {
    this.clientClosed = true
    if (this.phase === "waiting" || this.phase === "dialling") {
      this.end("rst", { by: "client", phase: this.phase === "waiting" ? "pre-route" : "dial", cause: "rst" })
    }
    this.finish()
  }

  /** Tells the end once both sockets are closed. */
  private finish(): void {
    if (!this.clientClosed || this.phase === "closed") return
    if (this.backend !== undefined && this.termination === undefined) return
    this.phase = "closed"
    this.early = []
    this.engine.wheel.cancel(this)
    this.engine.forget(this)
    const why = this.termination ?? { by: this.firstFinisher ?? "client", phase: "relay", cause: "fin" }
    const ended: Ended = {
      id: this.id,
      ...why,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      firstByteUs: this.firstByteUs,
      code: this.code
    }
    this.events.onEnd([ended])
  }
}
