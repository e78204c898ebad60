import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { codeOf, listenError } from "../../src/traffic/errno.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import type { Endpoint, ListenError } from "../../src/traffic/Transport.ts"
import * as Doorkeeper from "./Doorkeeper.ts"
import type { ServerLimits } from "./limits.ts"

export interface ListenerOptions {
  readonly address: Endpoint
  readonly limits: ServerLimits
  /** Paths of questions that count apart (`probePerSecond`). */
  readonly probes: ReadonlyArray<string>
  /** Paths of answers without an end: they may go on for as long as their reader takes something in `answerMs`. */
  readonly streams: ReadonlyArray<string>
  /** When it completes nobody is let in any more; who is there is served on. */
  readonly until?: Effect.Effect<unknown>
  readonly handler: (request: http.IncomingMessage, response: http.ServerResponse) => void
}

const MAX_HEADER_BYTES = 8_192

/** What may still be under way when everything else has ended. */
const CLOSE_MS = 1_000

/** How long a client that gets an error has to read it before its connection is reset. */
const LAST_WORDS_MS = 500

const LOOK_MS = 1_000

const errorHeaders = (body: string) => ({
  "content-type": "application/json",
  "content-length": `${Buffer.byteLength(body)}`,
  connection: "close"
})

const refuse = (response: http.ServerResponse, { error, retryAfterSecs, status }: Doorkeeper.Refusal): void => {
  const body = JSON.stringify({ error })
  response.writeHead(status, { ...errorHeaders(body), "retry-after": `${retryAfterSecs}` })
  response.end(body)
}

const protocolErrors: Readonly<Record<string, readonly [status: string, error: string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "the headers are too long"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["413 Payload Too Large", "the chunk extensions are too long"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "the request took too long"]
}

/** The answer to what is no request; there is no response object for it. */
const protocolAnswer = (error: Error): string => {
  const [status, message] = protocolErrors[codeOf(error)] ?? ["400 Bad Request", "this is not an HTTP request"]
  const body = JSON.stringify({ error: message })
  const headers = Object.entries(errorHeaders(body)).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${status}`, ...headers, "", body].join("\r\n")
}

const makeServer = ({ headersMs, idleMs, requestMs }: ServerLimits): http.Server => {
  const server = http.createServer({
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(headersMs, 1_000),
    keepAliveTimeout: idleMs,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true
  })
  // What is beyond a count would be dropped in silence, and with it perhaps what tells of a proxy; the bytes have a bound.
  server.maxHeadersCount = 0
  return server
}

const isOf = (paths: ReadonlyArray<string>, url: string = ""): boolean => paths.includes(url.split("?", 1)[0] ?? "")

/** A server that listens. */
export interface Listening {
  /** As bound: port 0 is resolved. */
  readonly address: Endpoint
  readonly counts: () => ListenerCounts
}

export interface ListenerCounts {
  /** Requests by the status they were answered with; 0: they went without an answer. */
  readonly answers: ReadonlyMap<number, number>
  readonly active: number
  readonly connections: number
}

/**
 * An HTTP server that its clients can't hold up: every wait has an end, every number a bound, and one client can take only
 * its part (D6). The address is the one really bound. It closes with the scope, within a second.
 */
export const listen = Effect.fnUntraced(function* ({
  address,
  handler,
  limits,
  probes,
  streams,
  until = Effect.never
}: ListenerOptions): Effect.fn.Return<Listening, ListenError, Scope.Scope> {
  const passed = yield* PassedSockets
  const server = makeServer(limits)
  const doorkeeper = Doorkeeper.make(limits)
  const guests = new Map<Duplex, Doorkeeper.Guest>()
  const sockets = new Map<Doorkeeper.Guest, Duplex>()
  const answers = new Map<number, number>([[200, 0]])
  let closing = false

  server.on("connection", (socket) => {
    const guest = doorkeeper.enter(socket.remoteAddress, performance.now(), (evicted) =>
      sockets.get(evicted)?.destroy()
    )
    if (guest === undefined) return void socket.resetAndDestroy()
    guests.set(socket, guest)
    sockets.set(guest, socket)
    socket.on("close", () => {
      guests.delete(socket)
      sockets.delete(guest)
      doorkeeper.leave(guest)
    })
  })

  const refuseLater = (socket: Socket, response: http.ServerResponse, refusal: Doorkeeper.Refusal): void => {
    socket.pause()
    const timer = setTimeout(() => refuse(response, refusal), limits.refusalMs)
    socket.once("close", () => clearTimeout(timer))
  }

  /** Connections with an answer without an end, and how many bytes the system has taken of it. */
  const streaming = new Map<Socket, number>()

  const lookAtStreams = (): void => {
    for (const [socket, before] of streaming) {
      const taken = socket.bytesWritten - socket.writableLength
      const guest = guests.get(socket)
      if (guest === undefined || (taken === before && socket.writableLength > 0)) continue
      streaming.set(socket, taken)
      doorkeeper.goesOn(guest, performance.now())
    }
  }

  server.on("request", (request, response) => {
    const { socket } = request
    const guest = guests.get(socket)
    if (guest === undefined) return void socket.destroy()
    // More that came with what was refused.
    if (guest.refused) return
    response.once("close", () => {
      const status = response.headersSent ? response.statusCode : 0
      answers.set(status, (answers.get(status) ?? 0) + 1)
    })
    const refusal = doorkeeper.begin(guest, isOf(probes, request.url), performance.now())
    if (refusal !== undefined) return refuseLater(socket, response, refusal)
    const isStream = isOf(streams, request.url)
    if (isStream) streaming.set(socket, 0)
    response.once("close", () => {
      if (isStream) streaming.delete(socket)
      doorkeeper.done(guest, performance.now())
      if (closing && guest.active === 0) socket.end()
    })
    handler(request, response)
  })

  server.on("clientError", (error, socket) => {
    // In the middle of an answer, another one would only garble it.
    if (!socket.writable || (guests.get(socket)?.active ?? 0) > 0) return void socket.destroy()
    const deadline = setTimeout(() => socket.destroy(), LAST_WORDS_MS)
    socket.once("close", () => clearTimeout(deadline))
    socket.end(protocolAnswer(error))
  })

  const look = setInterval(() => {
    lookAtStreams()
    for (const guest of doorkeeper.overdue(performance.now())) sockets.get(guest)?.destroy()
  }, LOOK_MS)

  const close = Effect.callback<void>((resume) => {
    closing = true
    clearInterval(look)
    const deadline = setTimeout(() => {
      for (const socket of guests.keys()) socket.destroy()
    }, CLOSE_MS)
    const closed = (): void => {
      clearTimeout(deadline)
      resume(Effect.void)
    }
    // It lets go of those that wait, and of those that are not through with their request.
    if (server.listening) return void server.close(closed)
    server.closeIdleConnections()
    if (guests.size === 0) closed()
    else server.once("close", closed)
  })

  const open = Effect.callback<Endpoint, ListenError>((resume) => {
    const onError = (error: Error): void => {
      clearInterval(look)
      resume(Effect.fail(listenError(address, codeOf(error))))
    }
    server.once("error", onError)
    const fd = passed.take(address)
    server.listen(fd === undefined ? { host: address.address, port: address.port } : { fd }, () => {
      server.off("error", onError)
      // A failed accept would end the process; the next one may succeed.
      server.on("error", () => undefined)
      const bound = server.address()
      resume(Effect.succeed(typeof bound === "object" && bound !== null ? bound : address))
    })
  })

  const bound = yield* Effect.acquireRelease(open, () => close)
  yield* Effect.forkScoped(
    Effect.andThen(
      until,
      Effect.sync(() => {
        // Kept connections end with their answer, so that whoever comes again finds who has taken over.
        closing = true
        server.close()
      })
    )
  )
  return {
    address: bound,
    counts: () => ({ answers, active: doorkeeper.active(), connections: doorkeeper.connections() })
  }
})
