import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import { stat } from "node:fs/promises"
import { backendColumns, type BackendRow, requiredColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE, stateColumns } from "../../src/domain/BackendState.ts"
import { BackendSource, SourceError, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { createBackends } from "./schema.ts"
import { isHalfWritten, sourceError } from "./sqliteError.ts"

export interface SqliteSourceOptions {
  readonly path: string
  readonly reloadMs: number
}

/** An open database, as long as the file stays the one that was opened. */
interface Opened {
  readonly client: SqliteClient.SqliteClient
  readonly scope: Scope.Closeable
  readonly identity: string
  dataVersion: number | undefined
}

// Rows read at a time: about a millisecond of work, after which other work has its turn (T2).
const PAGE = 500

// A writer holds its lock for moments; only a lock that stays is worth a word.
const lockPatience = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(20)])

/**
 * The routing table of an SQLite file. The file is opened read-only and its journal mode is left alone. Each look costs one
 * `stat` and one `PRAGMA data_version`; rows are read only when the file was replaced or written (T2). Losing the file, a
 * foreign schema or a damaged page are events, and the next look tries again.
 */
export const layer = (options: SqliteSourceOptions): Layer.Layer<BackendSource, never, TableSnapshotStore> =>
  Layer.effect(
    BackendSource,
    Effect.gen(function* () {
      const { path } = options
      const snapshots = yield* TableSnapshotStore
      // A database that was here once and is gone must not come back empty (T3).
      const neverStored = snapshots.load.pipe(
        Effect.map((stored) => stored === undefined),
        Effect.orElseSucceed(() => false)
      )
      let opened: Opened | undefined
      let firstLook = true

      const close = Effect.suspend(() => {
        const { scope } = opened ?? {}
        opened = undefined
        return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
      })
      yield* Effect.addFinalizer(() => close)

      const look = Effect.gen(function* () {
        let identity = yield* identityOf(path)
        if (identity === undefined && firstLook && (yield* neverStored)) {
          yield* createDatabase(path)
          identity = yield* identityOf(path)
        }
        firstLook = false
        if (identity === undefined) {
          return yield* new SourceError({ source: "sqlite", target: path, reason: "missing", detail: "no such file" })
        }
        if (opened?.identity !== identity) {
          yield* close
          opened = { ...(yield* openDatabase(path)), identity, dataVersion: undefined }
        }
        const { client } = opened
        const dataVersion = yield* readDataVersion(client)
        if (dataVersion === opened.dataVersion) return { _tag: "Unchanged" } satisfies SourceEvent
        const read = yield* readTables(client, path)
        opened.dataVersion = dataVersion
        return { _tag: "Rows", ...read } satisfies SourceEvent
      }).pipe(
        Effect.tapCause((cause) =>
          isHalfWritten(Cause.squash(cause)) ? Effect.andThen(close, Effect.ignore(undoHalf(path))) : Effect.void
        ),
        Effect.mapError((error) => (error instanceof SourceError ? error : sourceError(path, error))),
        Effect.catchDefect((defect) => Effect.fail(sourceError(path, defect))),
        Effect.tapError(() => close),
        Effect.retry({ schedule: lockPatience, while: (error) => error.reason === "locked" }),
        Effect.catch((error) => Effect.succeed<SourceEvent>({ _tag: "Lost", error }))
      )

      return {
        name: "sqlite",
        shared: false,
        keepsRows: false,
        events: Stream.fromEffectSchedule(look, Schedule.spaced(options.reloadMs))
      }
    })
  )

const unreadable = (path: string, detail: string): SourceError =>
  new SourceError({ source: "sqlite", target: path, reason: "unreadable", detail })

/** Changes when the file is replaced, or written without SQLite knowing; undefined when there is none. */
const identityOf = Effect.fnUntraced(function* (path: string) {
  const info = yield* Effect.tryPromise({
    try: () =>
      stat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined
        throw error
      }),
    catch: (error) => unreadable(path, error instanceof Error ? error.message : String(error))
  })
  if (info === undefined) return undefined
  if (info.isDirectory()) return yield* unreadable(path, "it is a directory")
  if (!info.isFile()) return yield* unreadable(path, "it is not a regular file")
  return [info.dev, info.ino, info.size, info.mtimeMs].join(":")
})

const openDatabase = Effect.fnUntraced(function* (path: string) {
  const scope = yield* Scope.make()
  const client = yield* SqliteClient.make({ filename: path, readonly: true, disableWAL: true }).pipe(
    Scope.provide(scope),
    Effect.provide(Reactivity.layer),
    Effect.onError(() => Scope.close(scope, Exit.void))
  )
  return { client, scope }
})

const createDatabase = Effect.fnUntraced(
  function* (path: string) {
    // No WAL: its side files would spoil a database that is later put in place by renaming.
    const client = yield* SqliteClient.make({ filename: path, disableWAL: true })
    yield* client.unsafe(createBackends)
    yield* Effect.logInfo("routing database created; it has no backends yet", { path })
  },
  Effect.scoped,
  Effect.provide(Reactivity.layer)
)

/** Opening it for writing undoes what a writer has left behind; that may have been this program, killed. */
const undoHalf = Effect.fnUntraced(
  function* (path: string) {
    const client = yield* SqliteClient.make({ filename: path, disableWAL: true })
    yield* client.unsafe("SELECT count(*) FROM sqlite_schema")
    yield* Effect.logWarning("a change that a writer had not finished was undone", { path })
  },
  Effect.scoped,
  Effect.provide(Reactivity.layer)
)

const readDataVersion = (client: SqlClient.SqlClient) =>
  Effect.map(client.unsafe<{ data_version: number }>("PRAGMA data_version"), ([row]) => row?.data_version ?? 0)

const schemaError = (path: string, detail: string): SourceError =>
  new SourceError({ source: "sqlite", target: path, reason: "schema", detail })

interface TableShape {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly required: ReadonlyArray<string>
}

const backendsShape: TableShape = { name: "backends", columns: backendColumns, required: requiredColumns }
const statesShape: TableShape = { name: STATE_TABLE, columns: stateColumns, required: ["id"] }

/** The statement that reads a page of a table, for whichever columns it has (T4); undefined when there is no such table. */
const pageQuery = Effect.fnUntraced(function* (client: SqlClient.SqlClient, path: string, shape: TableShape) {
  const { name } = shape
  const [table] = yield* client.unsafe<{ type: string; wr: number }>(
    `SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = '${name}' COLLATE NOCASE`
  )
  if (table === undefined) return undefined
  const found = yield* client.unsafe<{ name: string }>(`SELECT name FROM pragma_table_info('${name}')`)
  const present = new Set(found.map(({ name }) => name.toLowerCase()))
  const missing = shape.required.filter((column) => !present.has(column))
  if (missing.length > 0) return yield* schemaError(path, `its table ${name} lacks ${missing.join(", ")}`)
  const columns = shape.columns.filter((column) => present.has(column)).join(", ")
  // Views and WITHOUT ROWID tables have no rowid to go on from.
  const byRowid = table.type === "table" && table.wr === 0
  const sql = byRowid
    ? `SELECT rowid AS "_rowid", ${columns} FROM ${name} WHERE rowid > ? ORDER BY rowid LIMIT ${PAGE}`
    : `SELECT ${columns} FROM ${name} LIMIT ${PAGE} OFFSET ?`
  return { byRowid, sql }
})

// Texts that recur; far more apps than any table has, and no way to keep a hostile one's texts for long.
const MAX_SHARED_TEXTS = 10_000

/** The row without what makes a hundred thousand of them heavy for the garbage collector: bigints, and texts that recur. */
const compact = (row: Record<string, unknown>, texts: Map<string, string>): BackendRow => {
  for (const column of ["app", "region", "country", "owner", "source"]) {
    const text = row[column]
    if (typeof text !== "string") continue
    const shared = texts.get(text)
    if (shared !== undefined) row[column] = shared
    else if (texts.size < MAX_SHARED_TEXTS) texts.set(text, text)
  }
  for (const column in row) {
    const value = row[column]
    if (typeof value === "bigint") row[column] = Number(value)
  }
  return row
}

/** All rows, in slices. 64-bit values come as bigint, since one that is no number must not fail the rest. */
const readRows = Effect.fnUntraced(function* (client: SqlClient.SqlClient, path: string, shape: TableShape) {
  const query = yield* pageQuery(client, path, shape)
  if (query === undefined) return undefined
  const { byRowid, sql } = query
  const rows: Array<BackendRow> = []
  const texts = new Map<string, string>()
  let from: bigint | number = byRowid ? -(2n ** 63n) : 0
  while (true) {
    const page: ReadonlyArray<Record<string, unknown>> = yield* client
      .unsafe<Record<string, unknown>>(sql, [from])
      .pipe(Effect.provideService(SqlClient.SafeIntegers, true))
    const last = page.at(-1)?.["_rowid"]
    for (const row of page) rows.push(compact(row, texts))
    if (page.length < PAGE) return rows
    from = byRowid && typeof last === "bigint" ? last : rows.length
    yield* Effect.yieldNow
  }
})

/** Both tables as they are at one moment. */
const readTables = Effect.fnUntraced(
  function* (client: SqlClient.SqlClient, path: string) {
    const rows = yield* readRows(client, path, backendsShape)
    if (rows === undefined) return yield* schemaError(path, "it has no table named backends")
    const states = yield* readRows(client, path, statesShape)
    return states === undefined ? { rows } : { rows, states }
  },
  (read, client) => client.withTransaction(read)
)
