import type { Socket } from "node:net"
import type { Responder } from "../../src/dns/Responder.ts"

export interface TcpClientOptions {
  readonly socket: Socket
  readonly from: string
  readonly answer: Responder
  /** A whole question has come. */
  readonly onQuestion: () => void
}

/** A question is some hundred bytes; nobody has reason to send more than this. */
const MAX_MESSAGE = 4_096

/** Questions of one client answered in a row before others have their turn. */
const IN_A_ROW = 32

/** Answers that a client has not read yet; its next questions wait for it. */
const MAX_UNREAD = 65_536

/** One TCP connection: each message comes behind its length in two bytes (RFC 1035, 4.2.2), and goes so. */
export class TcpClient {
  heardAt = performance.now()
  readonly from: string
  private readonly options: TcpClientOptions
  private held: Buffer = Buffer.alloc(0)
  private waiting = false
  /** The client will ask nothing more, but reads. */
  private finished = false

  constructor(options: TcpClientOptions) {
    this.options = options
    this.from = options.from
    const { socket } = options
    socket.on("data", (chunk: Buffer) => {
      this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk])
      this.work()
    })
    socket.on("end", () => {
      this.finished = true
      if (!this.hasMore()) socket.end()
    })
    socket.on("drain", () => this.resume())
    socket.on("error", () => undefined)
  }

  /** Answers some of what is there. While any of it waits, nothing more is read. */
  private work(): void {
    const { socket } = this.options
    const answers: Array<Uint8Array> = []
    let at = 0
    for (let count = 0; count < IN_A_ROW; count++) {
      const length = this.lengthAt(at)
      if (length === undefined) break
      if (length > MAX_MESSAGE) return this.hangUp(answers)
      if (at + 2 + length > this.held.length) break
      const answered = this.options.answer(this.held.subarray(at + 2, at + 2 + length), this.options.from, "tcp")
      this.options.onQuestion()
      at += 2 + length
      // What is no question at all will not be followed by one.
      if (answered === undefined) return this.hangUp(answers)
      answers.push(Uint8Array.of(answered.length >> 8, answered.length & 0xff), answered)
    }
    this.held = this.held.subarray(at)
    if (answers.length > 0) socket.write(Buffer.concat(answers))
    if (!this.hasMore()) return
    socket.pause()
    if (socket.writableLength <= MAX_UNREAD) this.wait()
  }

  /** What was asked before nonsense has its answer. */
  private hangUp(answers: ReadonlyArray<Uint8Array>): void {
    const { socket } = this.options
    socket.removeAllListeners("data")
    this.held = Buffer.alloc(0)
    if (answers.length === 0) return void socket.destroy()
    socket.write(Buffer.concat(answers), () => socket.destroy())
  }

  private lengthAt(at: number): number | undefined {
    return this.held.length < at + 2 ? undefined : this.held.readUInt16BE(at)
  }

  /** A whole question waits, or its answers do. */
  private hasMore(): boolean {
    const length = this.lengthAt(0)
    const whole = length !== undefined && this.held.length >= 2 + length
    return whole || this.options.socket.writableLength > MAX_UNREAD
  }

  private wait(): void {
    if (this.waiting) return
    this.waiting = true
    setImmediate(() => {
      this.waiting = false
      this.resume()
    })
  }

  private resume(): void {
    const { socket } = this.options
    if (socket.destroyed || socket.writableLength > MAX_UNREAD) return
    this.work()
    if (this.hasMore()) return
    if (this.finished) socket.end()
    else socket.resume()
  }
}
