import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { SqlError } from "effect/sql/SqlError"
import { BackendStore, type StoreChange, StoreError } from "../../src/backends/BackendStore.ts"
import { statementsOf } from "../../src/backends/statements.ts"
import type { Link } from "./Link.ts"
import { PostgresClient } from "./PostgresClient.ts"
import { isConflict, isSchemaError, storeError } from "./postgresError.ts"
import { prepare } from "./prepare.ts"
import type { TableShape } from "./Shape.ts"
import { toPostgres } from "./toPostgres.ts"

/** How often a transaction is made again that lost against another one, or whose connection had ended unnoticed. */
const MAX_RETRIES = 3
const RETRY_MS = 20

/** How long what is known of the tables is good for; an error about them ends it at once. */
const SHAPE_MS = 60_000

/**
 * Writes each list of changes in one transaction. All of its statements go out at once, so a write takes one round trip, and
 * the server ends it when the time is over: a write that was given up does not come true later.
 */
export const layer: Layer.Layer<BackendStore, never, PostgresClient> = Layer.effect(
  BackendStore,
  Effect.gen(function* () {
    const { lease, queryTimeoutMs, target } = yield* PostgresClient
    const limits: Query = {
      sql: "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true)",
      params: [`${queryTimeoutMs}`]
    }
    const failed = (reason: StoreError["reason"], detail: string): StoreError =>
      new StoreError({ store: "postgres", target, reason, detail })
    let known: { readonly columns: TableShape["columns"]; readonly until: number } | undefined

    const columnsOf = Effect.fnUntraced(function* ({ connection, run }: Link) {
      const now = yield* Clock.currentTimeMillis
      if (known !== undefined && now < known.until) return known.columns
      const { shape } = yield* run(() => prepare(connection, false))
      if (shape.backends === undefined) return yield* failed("schema", "it has no table named backends")
      known = { columns: shape.backends.columns, until: now + SHAPE_MS }
      return known.columns
    })

    const attempt = Effect.fnUntraced(function* (changes: ReadonlyArray<StoreChange>) {
      const link = yield* lease
      const columns = yield* columnsOf(link)
      const statements = changes.flatMap((change) => statementsOf(change, (column) => columns.has(column)))
      if (statements.length > 0) yield* link.run(() => transact(link, [limits, ...statements.map(toPostgres)]))
    }, Effect.scoped)

    const write = Effect.fnUntraced(
      function* (changes: ReadonlyArray<StoreChange>) {
        for (let retries = 0; ; retries++) {
          const result = yield* Effect.result(attempt(changes))
          if (Result.isSuccess(result)) return
          const error = result.failure
          if (error instanceof StoreError) return yield* error
          const isStale = known !== undefined && isSchemaError(error)
          if (isStale) known = undefined
          if (retries === MAX_RETRIES || !(isStale || mayRetry(error))) return yield* storeError(target, error)
          yield* Effect.sleep(RETRY_MS * 2 ** retries * (0.5 + (yield* Random.next)))
        }
      },
      Effect.catchDefect((defect) => Effect.fail(storeError(target, defect))),
      Effect.timeoutOrElse({
        duration: queryTimeoutMs,
        orElse: () => Effect.fail(failed("timeout", `not done within ${queryTimeoutMs} ms`))
      })
    )

    return { name: "postgres", write }
  })
)

// All changes can be made twice.
const mayRetry = (error: SqlError): boolean =>
  isConflict(error) || (error.reason._tag === "ConnectionError" && error.reason.operation === "query")

interface Query {
  readonly sql: string
  readonly params: ReadonlyArray<string>
}

const begin: Query = { sql: "BEGIN", params: [] }
const commit: Query = { sql: "COMMIT", params: [] }

/** After a statement that failed the server refuses the rest of the transaction: the first failure is the reason. */
const transact = Effect.fnUntraced(function* ({ connection }: Link, queries: ReadonlyArray<Query>) {
  const fibers: Array<Fiber.Fiber<PgConnection.Result, SqlError>> = []
  for (const { params, sql } of [begin, ...queries, commit]) {
    // Each is on its way before the next one starts: they are answered in this order.
    fibers.push(yield* Effect.forkChild(connection.query(sql, params), { startImmediately: true }))
  }
  const exits = yield* Fiber.awaitAll(fibers)
  yield* exits.find(Exit.isFailure) ?? Effect.void
})
