import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type * as net from "node:net"
import { hostname } from "node:os"

export interface MockBackendOptions {
  readonly id: string
  /** Reported as it is; the mock backend does not check it. */
  readonly region: string
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
}

export interface MockBackend {
  /** What is bound: the real port, also when port 0 was asked for. */
  readonly address: { readonly host: string; readonly port: number }
  /** Requests answered so far, without those for `/health`: checks are not traffic. */
  readonly requests: () => number
}

/** The address can't be listened on. */
export class MockBackendError extends Data.TaggedError("MockBackendError")<{
  readonly host: string
  readonly port: number
  readonly cause: Error
}> {
  override get message() {
    return `mock backend cannot listen on ${this.host} port ${this.port}: ${this.cause.message}`
  }
}

type Reply = readonly [contentType: string, body: string]

type Fields = Readonly<Record<string, string | number | null>>

const text = (body: string): Reply => ["text/plain; charset=utf-8", body]
const json = (fields: Fields): Reply => ["application/json", JSON.stringify(fields)]
const lines = (fields: Fields): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("")

const bind = (
  server: http.Server,
  { host, port }: MockBackendOptions
): Effect.Effect<net.AddressInfo, MockBackendError> =>
  Effect.callback((resume) => {
    // Stays for the server's life: an accept that fails later (EMFILE) costs that client only, not the process.
    server.on("error", (cause) => resume(Effect.fail(new MockBackendError({ host, port, cause }))))
    server.listen(port, host, () => {
      const bound = server.address()
      if (bound !== null && typeof bound === "object") resume(Effect.succeed(bound))
    })
  })

const shut = (server: http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/**
 * An HTTP server that says which backend answered and whom it saw as its client. It listens until the scope closes, which
 * also closes its connections.
 */
export const startMockBackend = Effect.fnUntraced(function* (
  options: MockBackendOptions
): Effect.fn.Return<MockBackend, MockBackendError, Scope.Scope> {
  const { id, region } = options
  const startedAt = performance.now()
  let requests = 0

  const info = (socket: net.Socket) => ({
    id,
    region,
    hostname: hostname(),
    port: socket.localPort ?? null,
    uptime_secs: Math.floor((performance.now() - startedAt) / 1000),
    requests,
    client: socket.remoteAddress ?? null,
    client_port: socket.remotePort ?? null,
    now: new Date().toISOString()
  })
  const endpoints = new Map<string, (socket: net.Socket) => Reply>([
    ["/", (socket) => text(lines(info(socket)))],
    ["/health", () => text(`OK - ${id} (${region})`)],
    ["/api/info", (socket) => json(info(socket))],
    ["/api/latency", () => json({ id, region, now: new Date().toISOString() })]
  ])

  const onRequest: http.RequestListener = (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/"
    if (path !== "/health") requests++
    const endpoint = endpoints.get(path)
    if (endpoint === undefined) {
      response.writeHead(404).end()
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD" }).end()
    } else {
      const [contentType, body] = endpoint(request.socket)
      response.writeHead(200, { "Content-Type": contentType, "Content-Length": Buffer.byteLength(body) }).end(body)
    }
  }

  const server = yield* Effect.acquireRelease(
    Effect.sync(() => http.createServer(onRequest)),
    shut
  )
  const bound = yield* bind(server, options)
  return { address: { host: bound.address, port: bound.port }, requests: () => requests }
})
