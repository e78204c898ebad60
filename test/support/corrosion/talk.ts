import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { IncomingHttpHeaders, IncomingMessage } from "node:http"
import * as Watch from "../Watch.ts"

/** What a test sends: `json` is encoded and has its content type, `body` is sent as it is. */
export interface Ask {
  readonly method?: string
  readonly json?: unknown
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A body as it arrives. */
export interface Listener {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** So many of the lines that were not taken yet, decoded. Dies when the body ends before. */
  readonly next: (count: number) => Effect.Effect<ReadonlyArray<unknown>>
  /** The lines up to and with `eoq`. */
  readonly snapshot: Effect.Effect<ReadonlyArray<unknown>>
  /** Lines that were not taken yet, and what came after the last newline. */
  readonly rest: () => { readonly lines: ReadonlyArray<unknown>; readonly partial: string }
  readonly chunks: ReadonlyArray<Buffer>
  /** `eof` at the end of the body; else the error. */
  readonly ended: Effect.Effect<string>
  readonly response: IncomingMessage
}

const open = (url: string, { body, headers = {}, json, method }: Ask): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const text = json === undefined ? body : JSON.stringify(json)
    const type = json === undefined ? {} : { "content-type": "application/json" }
    const request = http.request(url, {
      agent: false,
      method: method ?? (text === undefined ? "GET" : "POST"),
      headers: { ...type, ...headers }
    })
    request.on("response", resolve).on("error", reject)
    request.end(text)
  })

const read = async (response: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  // A response without an encoding gives buffers.
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString("utf8")
}

/** A request and its whole answer. Dies when the connection does. */
export const ask = (url: string, asked: Ask = {}): Effect.Effect<Reply> =>
  Effect.promise(async () => {
    const response = await open(url, asked)
    return { status: response.statusCode ?? 0, headers: response.headers, body: await read(response) }
  })

/** A request whose connection ends without an answer: the error. */
export const lost = (url: string, asked: Ask): Effect.Effect<string> =>
  Effect.promise(() =>
    open(url, asked).then(
      ({ statusCode }) => `answered ${statusCode}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.message
    )
  )

/** Statements of a transaction. */
export const transact = (url: string, ...statements: ReadonlyArray<unknown>): Effect.Effect<Reply> =>
  ask(`${url}/v1/transactions`, { json: statements })

const isEoq = (line: unknown): boolean => typeof line === "object" && line !== null && "eoq" in line

/** A request whose body goes on; its connection is destroyed with the scope. */
export const listen = (url: string, asked: Ask = {}): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.gen(function* () {
    const response = yield* Effect.acquireRelease(
      Effect.promise(() => open(url, asked)),
      (response) => Effect.sync(() => response.destroy())
    )
    const watch = Watch.make()
    const chunks: Array<Buffer> = []
    const lines: Array<unknown> = []
    let partial = Buffer.alloc(0)
    let ended: string | undefined
    const end = (how: string): void => {
      ended ??= how
      watch.touch()
    }
    response.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      const bytes = Buffer.concat([partial, chunk])
      const last = bytes.lastIndexOf("\n") + 1
      const whole = bytes.subarray(0, last).toString("utf8").split("\n").slice(0, -1)
      for (const line of whole) lines.push(JSON.parse(line))
      partial = bytes.subarray(last)
      watch.touch()
    })
    response.socket.on("error", ({ message }) => end(message))
    response.on("end", () => end("eof")).on("error", ({ message }) => end(message))
    let taken = 0
    const take = (what: string, count: () => number | undefined): Effect.Effect<ReadonlyArray<unknown>> =>
      watch
        .until(what, () => {
          const found = count()
          if (found !== undefined && found <= lines.length) return lines.slice(taken, (taken = found))
          return ended === undefined ? undefined : [ended]
        })
        .pipe(
          Effect.tap((found) =>
            typeof found[0] === "string" ? Effect.die(new Error(`no ${what}, but ${found[0]}`)) : Effect.void
          )
        )
    const eoq = (): number | undefined => {
      const at = lines.findIndex((line, index) => index >= taken && isEoq(line))
      return at < 0 ? undefined : at + 1
    }
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      next: (count) =>
        Effect.suspend(() => {
          const upTo = taken + count
          return take(`${count} lines`, () => upTo)
        }),
      snapshot: take("eoq", eoq),
      rest: () => ({ lines: lines.slice(taken), partial: partial.toString("utf8") }),
      chunks,
      ended: watch.until("end of the body", () => ended),
      response
    }
  })

/** A new subscription or a joined one. */
export const subscribe = (url: string, statement: unknown, query = ""): Effect.Effect<Listener, never, Scope.Scope> =>
  listen(`${url}/v1/subscriptions${query}`, { json: statement })
