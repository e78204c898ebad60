import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import { readFile } from "node:fs/promises"
import * as net from "node:net"
import type { ConnectionOptions } from "node:tls"
import type { PostgresUrl, TlsSettings } from "./postgresUrl.ts"

/** One connection, which its owner can cut at any time: the driver itself waits for an answer before it lets go. */
export interface Link {
  readonly connection: PgConnection.PgConnection
  /** Cuts the connection; whatever waits for it fails. */
  readonly cut: () => void
  readonly isCut: () => boolean
  /** Calls back when the connection has ended, whoever ended it. */
  readonly onEnd: (listener: () => void) => void
  /**
   * Runs `work` and cuts the connection when nothing was heard of it for the query timeout, or when the caller is
   * interrupted. `heard` says that it goes on: a large table may take longer than one answer.
   */
  readonly run: <A, R>(work: (heard: () => void) => Effect.Effect<A, SqlError, R>) => Effect.Effect<A, SqlError, R>
}

export interface LinkOptions {
  readonly url: Redacted.Redacted
  readonly parsed: PostgresUrl
  readonly connectTimeoutMs: number
  readonly queryTimeoutMs: number
  /** Statements of several fibers go out at once, and their answers come back in order. */
  readonly pipelined: boolean
}

/** How long a dead peer takes to be found while nothing is sent; ten probes, one a second, follow. */
const KEEPALIVE_MS = 10_000

/** How long a good-bye may take. */
const CLOSE_MS = 500

const connectError = (cause: unknown, message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation: "connect" }) })

const readPem = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path),
    catch: (cause) => connectError(cause, `can't read ${path}`)
  })

/** Read for every connection, so that certificates may be renewed while running. */
const tlsOptions = Effect.fnUntraced(function* (tls: TlsSettings) {
  if (tls.mode === "disable") return false
  const verified = tls.mode === "verify-ca" || tls.mode === "verify-full"
  const options: ConnectionOptions = {
    rejectUnauthorized: verified,
    ...(tls.mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(tls.rootCert === undefined ? {} : { ca: yield* readPem(tls.rootCert) }),
    ...(tls.cert === undefined ? {} : { cert: yield* readPem(tls.cert) }),
    ...(tls.key === undefined ? {} : { key: yield* readPem(tls.key) }),
    ...(tls.keyPassword === undefined ? {} : { passphrase: tls.keyPassword })
  }
  return options
})

const refusedTls = (error: SqlError): boolean => error.message.includes("Server refused TLS")

/** Opens a connection that ends with the scope. */
export const open = Effect.fnUntraced(function* (options: LinkOptions) {
  const { connectTo, namesItself, tls } = options.parsed
  const { queryTimeoutMs } = options
  const scope = yield* Scope.Scope
  const sockets = new Set<net.Socket>()
  let isCut = false
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  const endings = new Set<() => void>()
  let own: net.Socket | undefined
  let isOpen = false

  // The driver makes a second one when it cancels a statement.
  const connectSocket = (): net.Socket => {
    const socket = net.connect({ ...connectTo, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    if (!isOpen) own = socket
    sockets.add(socket)
    socket.on("error", () => undefined)
    socket.on("close", () => {
      sockets.delete(socket)
      if (!isOpen || socket !== own) return
      isCut = true
      for (const ending of endings) ending()
    })
    return socket
  }

  const connect = (ssl: ConnectionOptions | false) =>
    PgConnection.make({
      url: options.url,
      ssl,
      stream: connectSocket,
      connectTimeout: options.connectTimeoutMs,
      multiplex: options.pipelined,
      // Named statements do not survive a pooler that hands out another server connection for each transaction.
      prepare: false,
      ...(namesItself ? {} : { applicationName: "edgeproxy" })
    })
  const ssl = yield* tlsOptions(tls)
  const connection = yield* connect(ssl).pipe(
    Effect.catchIf(
      (error) => tls.mode === "prefer" && refusedTls(error),
      () => connect(false)
    )
  )
  isOpen = true
  // Runs before the driver's own closing, which waits for a peer that may be gone.
  yield* Effect.addFinalizer(() => Effect.sync(() => setTimeout(cut, CLOSE_MS).unref()))

  const run: Link["run"] = (work) =>
    Effect.suspend(() => {
      let silent = false
      const timer = setTimeout(() => {
        silent = true
        cut()
      }, queryTimeoutMs)
      const noAnswer = new Error(`no answer within ${queryTimeoutMs} ms`)
      return work(() => void timer.refresh()).pipe(
        Effect.mapError((error) =>
          silent
            ? new SqlError({
                reason: new StatementTimeoutError({ cause: noAnswer, message: noAnswer.message, operation: "query" })
              })
            : error
        ),
        Effect.ensuring(Effect.sync(() => clearTimeout(timer))),
        Effect.forkIn(scope),
        Effect.flatMap(Fiber.join),
        Effect.onInterrupt(() => Effect.sync(cut))
      )
    })

  const link: Link = { connection, cut, isCut: () => isCut, onEnd: (listener) => void endings.add(listener), run }
  return link
})
