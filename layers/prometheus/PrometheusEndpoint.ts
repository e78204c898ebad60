import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import { Metrics } from "../../src/observe/Metrics.ts"
import { contentTypes, type Format, type Page } from "../../src/observe/PrometheusText.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import { codeOf, listenError } from "../../src/traffic/errno.ts"
import { type Endpoint, formatEndpoint, type ListenError } from "../../src/traffic/Transport.ts"
import { gzip } from "./gzip.ts"

export interface EndpointOptions {
  readonly address: Endpoint
  readonly path: string
  /** When it completes nobody is let in any more. */
  readonly until?: Effect.Effect<unknown>
  readonly limits?: EndpointLimits
}

export interface EndpointLimits {
  /** How long a client may take for its request. */
  readonly requestMs: number
  /** How long a connection may last, whatever happens on it. */
  readonly connectionMs: number
  /** How many there may be at once; more are closed. */
  readonly connections: number
}

const defaultLimits: EndpointLimits = {
  requestMs: 5_000,
  // Prometheus gives up after 10 s unless told otherwise.
  connectionMs: 30_000,
  // Some scrapers and a person or two. Each may hold a page while it reads: that bounds the memory too.
  connections: 16
}

// What may still be under way when everything else has ended.
const CLOSE_MS = 1_000
const MAX_HEADER_BYTES = 8_192

/** A server that nobody can hold up: an end to every connection, however slowly its client writes or reads. */
const makeServer = ({ connectionMs, connections, requestMs }: EndpointLimits): http.Server => {
  const server = http.createServer({
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(requestMs, 1_000),
    maxHeaderSize: MAX_HEADER_BYTES
  })
  server.maxConnections = connections
  server.on("connection", (socket) => {
    const deadline = setTimeout(() => socket.destroy(), connectionMs)
    socket.on("close", () => clearTimeout(deadline))
  })
  // A failed accept would end the process; the next one may succeed.
  server.on("error", () => undefined)
  return server
}

const acceptsGzip = (request: HttpServerRequest.HttpServerRequest): boolean =>
  /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(request.headers["accept-encoding"] ?? "")

// One request a connection: a scrape is rare, and connections that idle would take others' places and outlive the drain.
const common = { connection: "close", vary: "accept, accept-encoding" }

/** What the scraper can read, as it says: Prometheus asks for OpenMetrics first. */
const formatFor = (request: HttpServerRequest.HttpServerRequest): Format =>
  /application\/openmetrics-text\b(?!\s*;[^,]*q=0(\.0*)?\s*(,|;|$))/i.test(request.headers["accept"] ?? "")
    ? "openmetrics"
    : "text"

const respond = ({ bytes, chunks }: Page, format: Format, headers: Readonly<Record<string, string>>) =>
  // One chunk at a time, at the pace of the reader; and a fast one must not have the control thread to itself.
  HttpServerResponse.stream(Stream.fromIterable(chunks, { chunkSize: 1 }).pipe(Stream.tap(() => Effect.yieldNow)), {
    contentType: contentTypes[format],
    contentLength: bytes,
    headers: { ...common, ...headers }
  })

const plain = (status: number, text: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(`${text}\n`, { status, headers: { ...common, ...headers } })

/** Completes when the system has taken the whole answer, or nobody is there to get it. */
const answered = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    if (response.destroyed) return resume(Effect.void)
    response.once("close", () => resume(Effect.void))
  })

/** Answers scrapes of one path; anything else is told what there is. */
const answer = Effect.fnUntraced(function* (path: string) {
  const metrics = yield* Metrics
  const request = yield* HttpServerRequest.HttpServerRequest
  if (request.url !== path && !request.url.startsWith(`${path}?`)) return plain(404, `the metrics are at ${path}`)
  if (request.method !== "GET" && request.method !== "HEAD") return plain(405, "GET or HEAD", { allow: "GET, HEAD" })
  const format = formatFor(request)
  const page = yield* metrics.page(format)
  // The page must hold for as long as any of it waits to be sent.
  yield* Effect.addFinalizer(() => answered(request))
  if (!acceptsGzip(request)) return respond(page, format, {})
  return respond(yield* gzip(page), format, { "content-encoding": "gzip" })
})

/** The metrics as Prometheus scrapes them, over HTTP. */
export const layer = (options: EndpointOptions): Layer.Layer<never, ListenError, Metrics> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { address, path, until = Effect.never } = options
      const passed = yield* PassedSockets
      const fd = passed.take(address)
      const node = makeServer(options.limits ?? defaultLimits)
      const server = yield* NodeHttpServer.make(
        () => node,
        // Node takes a descriptor here; its types know of it for servers alone.
        fd === undefined ? { host: address.address, port: address.port } : ({ fd } as object)
      ).pipe(Effect.mapError(({ cause }) => listenError(address, codeOf(cause))))
      yield* server.serve(
        answer(path).pipe(
          // Requests are handled uninterruptibly unless told otherwise, and one that waits would keep the server from closing.
          Effect.interruptible,
          Effect.catchDefect((defect) =>
            Effect.as(Effect.logError("the metrics can't be read", defect), plain(500, "the metrics can't be read"))
          )
        )
      )
      const bound = node.address()
      yield* Effect.logInfo("metrics endpoint", {
        address: typeof bound === "object" && bound !== null ? formatEndpoint(bound) : formatEndpoint(address),
        path
      })
      yield* Effect.forkScoped(
        Effect.andThen(
          until,
          Effect.sync(() => void node.close())
        )
      )
      // Registered last, so that it runs first: closing waits for every connection.
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          const deadline = setTimeout(() => node.closeAllConnections(), CLOSE_MS)
          node.once("close", () => clearTimeout(deadline))
        })
      )
    }).pipe(Effect.annotateLogs({ service: "metrics" }))
  )
