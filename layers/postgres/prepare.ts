import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { STATE_TABLE } from "../../src/domain/BackendState.ts"
import { isForbidden, sqlstateOf } from "./postgresError.ts"
import { createBackends, createNotify, createState, createTrigger, SCHEMA_LOCK } from "./schema.ts"
import { readShape, type Shape, type TableShape } from "./Shape.ts"

/** A database as it was found or made. */
export interface Prepared {
  readonly shape: Shape
  /** Why something of the schema is missing and could not be made. */
  readonly lacks: string | undefined
  /** Another time it may work. */
  readonly mayChange: boolean
}

/** A database that is taken as it is. */
export const found = (shape: Shape): Prepared => ({
  shape,
  lacks: shape.standby ? "it is a standby" : undefined,
  mayChange: false
})

// What holds a table locked for longer is not waited for: rows can be read without triggers.
const LOCK_TIMEOUT = "2s"

const missingTables = (shape: Shape, createTable: boolean): ReadonlyArray<string> => {
  const backends = shape.backends === undefined && createTable ? createBackends : []
  const states = shape.states === undefined && (shape.backends !== undefined || createTable) ? createState : []
  return [...backends, ...states]
}

const lacksTrigger = (table: TableShape | undefined): boolean =>
  table !== undefined && !table.notifies && ["r", "p"].includes(table.kind)

const missingTriggers = (shape: Shape): ReadonlyArray<string> => {
  const tables = [
    ...(lacksTrigger(shape.backends) ? ["backends"] : []),
    ...(lacksTrigger(shape.states) ? [STATE_TABLE] : [])
  ]
  if (tables.length === 0) return []
  return [...(shape.hasNotifyFunction ? [] : [createNotify]), ...tables.map(createTrigger)]
}

/** Makes what is missing in one transaction, one POP at a time. What another one has made meanwhile is no longer missing. */
const make = Effect.fnUntraced(
  function* (connection: PgConnection, missing: (shape: Shape) => ReadonlyArray<string>) {
    yield* connection.query("BEGIN")
    yield* connection.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`)
    yield* connection.query(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`)
    for (const statement of missing(yield* readShape(connection))) yield* connection.query(statement)
    yield* connection.query("COMMIT")
  },
  (making, connection) => Effect.tapError(making, () => Effect.ignore(connection.query("ROLLBACK")))
)

/** Looks at the database, and makes what it lacks where that is allowed. A table of backends only when `createTable` says so. */
export const prepare = Effect.fnUntraced(function* (
  connection: PgConnection,
  createTable: boolean
): Effect.fn.Return<Prepared, SqlError> {
  const before = yield* readShape(connection)
  if (before.standby) return found(before)
  let problem: SqlError | undefined
  for (const missing of [(shape: Shape) => missingTables(shape, createTable), missingTriggers]) {
    if (missing(yield* readShape(connection)).length === 0) continue
    yield* make(connection, missing).pipe(
      Effect.catchIf(
        // What the server itself says leaves the connection usable.
        (error) => error.reason._tag !== "ConnectionError" && sqlstateOf(error) !== undefined,
        (error) => Effect.sync(() => void (problem ??= error))
      )
    )
  }
  const cause = problem?.reason.cause
  return {
    shape: yield* readShape(connection),
    lacks: cause instanceof Error ? cause.message : undefined,
    mayChange: problem !== undefined && !isForbidden(problem)
  }
})
