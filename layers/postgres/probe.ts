import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import { backendColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE } from "../../src/domain/BackendState.ts"
import { sighted, type Sighting, SourceError } from "../../src/routing/BackendSource.ts"
import { announces, requireTable } from "./demands.ts"
import { make, type PostgresOptions } from "./PostgresClient.ts"
import { sourceError } from "./postgresError.ts"
import { readShape, type Shape } from "./Shape.ts"

const SERVER = `
SELECT current_setting('server_version') AS version, current_user AS role,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create`

const count = (connection: PgConnection, table: string) =>
  Effect.map(connection.query(`SELECT count(*)::text AS rows FROM ${table}`), ({ rows }) => String(rows[0]?.["rows"]))

const announcement = (shape: Shape, mayCreate: boolean): Sighting => {
  if (announces(shape)) return sighted("ok", "changes are announced by triggers")
  if (shape.standby) {
    return sighted("warn", "it is a standby: changes are found by polling, and nothing can register or drain here")
  }
  const isOwn = [shape.backends, shape.states].every((table) => table === undefined || table.kind === "r")
  return isOwn && mayCreate
    ? sighted("ok", "triggers that announce changes are missing; a start tries to make them, and polls when it can't")
    : sighted("warn", "triggers that announce changes are missing and can't be made: changes are found by polling")
}

/**
 * What is to be said of the database before anything depends on it: one line for each thing that was looked at. Changes
 * nothing. Fails when the proxy could not run with it: it is not there, lets nobody in, or lacks the table and the right to
 * make it.
 */
export const probe = (options: PostgresOptions): Effect.Effect<ReadonlyArray<Sighting>, SourceError> =>
  Effect.gen(function* () {
    const { connect, target } = yield* make({ ...options, minConnections: 0 }).pipe(
      Effect.mapError(
        ({ detail }) => new SourceError({ source: "postgres", target: "its URL", reason: "unreadable", detail })
      )
    )
    return yield* Effect.gen(function* () {
      const link = yield* connect
      return yield* link.run(() => look(link.connection, target))
    }).pipe(
      Effect.flatMap((found) => (found instanceof SourceError ? Effect.fail(found) : Effect.succeed(found))),
      Effect.mapError((error) => sourceError(target, error))
    )
  }).pipe(Effect.scoped)

const look = Effect.fnUntraced(function* (connection: PgConnection, target: string) {
  const server = (yield* connection.query(SERVER)).rows[0] ?? {}
  const mayCreate = server["may_create"] === true
  const tls = server["tls"] === true ? "with" : "without"
  const found = [
    sighted("ok", `PostgreSQL ${server["version"]} at ${target} answers, ${tls} TLS, as role ${server["role"]}`)
  ]

  const shape = yield* readShape(connection)
  const { backends, states } = shape
  if (backends === undefined && mayCreate && !shape.standby) {
    return [...found, sighted("warn", "it has no table named backends; the first start makes it")]
  }
  const lacking = requireTable(target, shape, "no right to create one")
  if (lacking !== undefined || backends === undefined) return lacking ?? []

  const missing = backendColumns.filter((column) => !backends.columns.has(column))
  const lacks = missing.length === 0 ? "" : `, without ${missing.join(", ")}`
  found.push(sighted("ok", `table backends has ${yield* count(connection, "backends")} rows${lacks}`))
  if (states?.readable === true) {
    found.push(sighted("ok", `table ${STATE_TABLE} has ${yield* count(connection, STATE_TABLE)} rows`))
  } else {
    const made = states === undefined && mayCreate && !shape.standby
    found.push(
      made
        ? sighted("ok", `table ${STATE_TABLE} is missing; a start makes it`)
        : sighted("warn", `table ${STATE_TABLE} can't be read, so nothing can register or drain`)
    )
  }
  found.push(announcement(shape, mayCreate))
  if (!shape.standby) {
    const writable = backends.writable && states?.writable !== false
    found.push(
      writable
        ? sighted("ok", "backends can register and drain")
        : sighted("warn", "this role may not write: nothing can register or drain")
    )
  }
  if (shape.encoding !== "UTF8") {
    found.push(sighted("warn", `its encoding is ${shape.encoding}: text that is no UTF-8 can't be read`))
  }
  return found
})
