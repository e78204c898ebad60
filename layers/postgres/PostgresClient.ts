import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Pool from "effect/Pool"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { type Link, open } from "./Link.ts"
import { parsePostgresUrl, type PostgresUrlError } from "./postgresUrl.ts"

export interface PostgresOptions {
  readonly url: Redacted.Redacted
  /** In all: the source keeps one to itself, the store has the others. It has one of its own in any case. */
  readonly maxConnections: number
  readonly minConnections: number
  readonly connectTimeoutMs: number
  readonly queryTimeoutMs: number
}

// Beyond the smallest number, a connection that is not used goes after this long.
const IDLE_MS = 60_000

/** The connections to one database, opened as they are needed: a server that is down does not keep the layer from starting. */
export class PostgresClient extends Context.Service<
  PostgresClient,
  {
    /** `host:port/database`, for people. */
    readonly target: string
    readonly queryTimeoutMs: number
    /** A connection outside of the pool, which ends with the scope. */
    readonly connect: Effect.Effect<Link, SqlError, Scope.Scope>
    /** A pipelined connection of the pool, for the caller alone until the scope ends. */
    readonly lease: Effect.Effect<Link, SqlError, Scope.Scope>
  }
>()("edgeproxy/postgres/PostgresClient") {
  static readonly layer = (options: PostgresOptions): Layer.Layer<PostgresClient, PostgresUrlError> =>
    Layer.effect(PostgresClient, make(options))
}

export const make = Effect.fnUntraced(function* (options: PostgresOptions) {
  const parsed = yield* Effect.fromResult(parsePostgresUrl(Redacted.value(options.url)))
  const { target } = parsed
  if (parsed.ignored.length > 0) {
    yield* Effect.logWarning("parameters of EDGEPROXY_POSTGRES_URL without effect", { ignored: parsed.ignored })
  }
  const common = {
    url: options.url,
    parsed,
    connectTimeoutMs: options.connectTimeoutMs,
    queryTimeoutMs: options.queryTimeoutMs
  }

  const runFork = Effect.runForkWith(yield* Effect.context())
  const max = Math.max(1, options.maxConnections - 1)
  const pool: Pool.Pool<Link, SqlError> = yield* Pool.makeWithTTL({
    acquire: Effect.tap(open({ ...common, pipelined: true }), (link) =>
      Effect.sync(() => link.onEnd(() => void runFork(Pool.invalidate(pool, link))))
    ),
    min: Math.min(Math.max(0, options.minConnections - 1), max),
    max,
    timeToLive: IDLE_MS,
    timeToLiveStrategy: "usage"
  })
  const lease: Effect.Effect<Link, SqlError, Scope.Scope> = Effect.flatMap(Pool.get(pool), (link) =>
    // It ended just now; what it waits for next is another one.
    link.isCut() ? Effect.andThen(Pool.invalidate(pool, link), lease) : Effect.succeed(link)
  )

  return PostgresClient.of({
    target,
    queryTimeoutMs: options.queryTimeoutMs,
    connect: open({ ...common, pipelined: false }),
    lease
  })
})
