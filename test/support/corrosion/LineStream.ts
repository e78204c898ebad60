import type { ServerResponse } from "node:http"

/** How all streams of an agent are sent. */
export interface Sending {
  /** Bytes per chunk; 0 for as many lines as there are, up to 64 KiB. */
  pieces: number
  /** Nothing is sent while it holds; then all that waits goes in one chunk. */
  held: boolean
  /** Lines of changes that may wait for a client before it counts as too slow. */
  readonly ringLines: number
}

/**
 * How a stream ends: `eof` in order, `close` without the end of the body (FIN), `reset` (RST), `partial` in order but in
 * the middle of a line, `partial-close` the same without the end of the body, `error` in order after an error line.
 */
export type Ending = "eof" | "close" | "reset" | "partial" | "partial-close" | "error"

const CHUNK_BYTES = 65_536
const PARTIAL = '{"change":["update",1,["half'

const takeChunk = (queue: Array<string>, limit: number): string => {
  let length = 0
  let count = 0
  while (count < queue.length && length < limit) length += queue[count++]?.length ?? 0
  return queue.splice(0, count).join("")
}

/** The body of a stream: lines of JSON, sent as fast as the client takes them. */
export class LineStream {
  readonly #response: ServerResponse
  readonly #sending: Sending
  readonly #onEnd: () => void
  #queue: Array<string> = []
  #blocked = false
  #ending: Ending | undefined
  #closed = false
  /** Lines of changes to lose before the next is sent. */
  withheld = 0

  constructor(response: ServerResponse, sending: Sending, onEnd: () => void = () => undefined) {
    this.#response = response
    this.#sending = sending
    this.#onEnd = onEnd
    response.on("close", () => this.#close())
    response.on("error", () => undefined)
    response.flushHeaders()
  }

  get isOpen(): boolean {
    return !this.#closed && this.#ending === undefined
  }

  /** Lines without their newline. */
  send(lines: ReadonlyArray<string>): void {
    if (!this.isOpen) return
    for (const line of lines) this.#queue.push(`${line}\n`)
    this.pump()
  }

  /** Changes that happen while the client listens: it loses the stream when too many wait for it. */
  sendLive(lines: ReadonlyArray<string>): void {
    const lost = Math.min(this.withheld, lines.length)
    this.withheld -= lost
    if (this.#blocked && this.#queue.length + lines.length > this.#sending.ringLines) this.end("eof")
    else this.send(lines.slice(lost))
  }

  end(how: Ending, message = "the stream was ended"): void {
    if (!this.isOpen) return
    if (how === "error") this.#queue.push(`${JSON.stringify({ error: message })}\n`)
    if (how === "partial" || how === "partial-close") this.#queue.push(PARTIAL)
    this.#ending = how
    this.#onEnd()
    if (how === "reset") {
      this.#response.socket?.resetAndDestroy()
      this.#close()
    } else this.pump()
  }

  pump(): void {
    if (this.#closed || this.#blocked) return
    if (this.#sending.held && this.#ending === undefined) return
    while (this.#queue.length > 0) {
      this.#blocked = !this.#write(takeChunk(this.#queue, CHUNK_BYTES))
      if (this.#blocked) return
    }
    this.#finish()
  }

  /** Sends all that waits in one chunk. */
  release(): void {
    if (this.#queue.length > 0 && !this.#closed && !this.#blocked) this.#response.write(this.#queue.splice(0).join(""))
    this.pump()
  }

  /** Whether more can be written; otherwise it goes on by itself. */
  #write(text: string): boolean {
    const { pieces } = this.#sending
    if (pieces > 0) this.#writePieces(Buffer.from(text), pieces)
    else if (this.#response.write(text)) return true
    else this.#response.once("drain", () => this.#unblock())
    return false
  }

  /** One piece per turn of the event loop: what is written in one turn goes in one chunk. */
  #writePieces(bytes: Buffer, pieces: number): void {
    if (this.#closed) return
    const next = (): void =>
      bytes.length > pieces ? this.#writePieces(bytes.subarray(pieces), pieces) : this.#unblock()
    if (this.#response.write(bytes.subarray(0, pieces))) setImmediate(next)
    else this.#response.once("drain", next)
  }

  #unblock(): void {
    this.#blocked = false
    this.pump()
  }

  #finish(): void {
    if (this.#ending === "eof" || this.#ending === "error" || this.#ending === "partial") this.#response.end()
    // Not before the response has handed over what it holds.
    else if (this.#ending !== undefined) setImmediate(() => this.#response.socket?.destroySoon())
    if (this.#ending !== undefined) this.#close()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue = []
    this.#onEnd()
  }
}
