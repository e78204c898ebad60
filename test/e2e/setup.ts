import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { join } from "node:path"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { type EdgeOptions, type EdgeProcess, scratch, startEdge } from "../support/EdgeProcess.ts"
import { createDatabase, type Row } from "../support/routingDb.ts"
import { connect, type ConnectOptions, type Peer } from "../support/tcp.ts"

/** The countries of the loopback networks that stand for clients. */
export const geo = "127.1.0.0/16=BR,127.2.0.0/16=US,127.3.0.0/16=DE,127.4.0.0/16=JP,127.5.0.0/16=PE,127.6.0.0/16=AR"

export interface Edge extends EdgeProcess {
  readonly directory: string
  /** Path of its routing database. */
  readonly database: string
}

/** A running proxy with a database of its own, which it looks at ten times a second. */
export const startWith = (
  rows: Iterable<Row>,
  env: Readonly<Record<string, string>> = {},
  options: Omit<EdgeOptions, "env"> = {}
): Effect.Effect<Edge, never, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* scratch
    const database = join(directory, "routing.db")
    createDatabase(database, rows)
    const edge = yield* startEdge({ ...options, env: { ...defaults(database), ...env } })
    return Object.assign(edge, { directory, database })
  })

export const defaults = (database: string): Readonly<Record<string, string>> => ({
  DB_PATH: database,
  DB_RELOAD_SECS: "0.1",
  REGION: "sa",
  POP_ID: "test-pop",
  GEO_OVERRIDES: geo
})

/** Connects, and gives the name that the backend says first. */
export const greeted = Effect.fnUntraced(function* (to: Endpoint, options?: ConnectOptions) {
  const peer = yield* connect(to, options)
  const text = yield* peer.awaitText("\n")
  return { peer, name: text.slice(0, text.indexOf("\n")) }
})

/** The client, once a greeting backend has spoken to it; undefined when the proxy has closed it instead. */
export const served = (to: Endpoint, options?: ConnectOptions): Effect.Effect<Peer | undefined, never, Scope.Scope> =>
  connect(to, options).pipe(
    Effect.flatMap((peer) =>
      peer.watch.until("a greeting or the end", () =>
        peer.text() === "" ? peer.closed() && { closed: true } : { peer }
      )
    ),
    Effect.map((found) => ("peer" in found ? found.peer : undefined)),
    Effect.catch(() => Effect.succeed(undefined))
  )

/** The end of a connection that is never opened or closed by the proxy: `ECONNRESET`, `ECONNREFUSED`, `fin`. */
export const refusalOf = (to: Endpoint, options?: ConnectOptions) =>
  connect(to, options).pipe(
    Effect.flatMap((peer) => peer.awaitClosed),
    Effect.catch(({ code }) => Effect.succeed(code)),
    Effect.scoped
  )

/** `client relay fin`, as people read it. */
export const why = (entry: {
  readonly end_by: string
  readonly end_phase: string
  readonly end_cause: string
}): string => `${entry.end_by} ${entry.end_phase} ${entry.end_cause}`
