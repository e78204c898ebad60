import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { PostgresClient, type PostgresOptions } from "../../layers/postgres/PostgresClient.ts"
import * as PostgresSource from "../../layers/postgres/PostgresSource.ts"
import * as PostgresStore from "../../layers/postgres/PostgresStore.ts"
import { BackendStore, type StoreChange } from "../../src/backends/BackendStore.ts"
import { type Backend, type BackendRow, decodeBackend } from "../../src/domain/Backend.ts"
import { REGISTERED } from "../../src/domain/BackendState.ts"
import { BackendSource, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { postgresAbsent, type PostgresServer, postgresServer, type PostgresServerOptions } from "../support/postgres.ts"
import * as Watch from "../support/Watch.ts"

/** The server of a test file. */
export class TestServer extends Context.Service<TestServer, PostgresServer>()("test/postgres/TestServer") {
  static readonly layer = (options?: PostgresServerOptions): Layer.Layer<TestServer> =>
    Layer.effect(TestServer, postgresServer(options))
}

/** At the end of a suite's name: why it is skipped. */
export const skipped = postgresAbsent === undefined ? "" : ` (skipped: ${postgresAbsent})`

/** The mission's table, word for word. */
export const MISSION = `CREATE TABLE backends (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    region TEXT NOT NULL,
    country TEXT NOT NULL,
    wg_ip TEXT NOT NULL,
    port INTEGER NOT NULL,
    healthy INTEGER NOT NULL DEFAULT 1,
    weight INTEGER NOT NULL DEFAULT 1,
    soft_limit INTEGER NOT NULL DEFAULT 100,
    hard_limit INTEGER NOT NULL DEFAULT 150,
    deleted INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
)`

export const insert = (...ids: ReadonlyArray<string>): string =>
  "INSERT INTO backends (id, app, region, country, wg_ip, port) VALUES " +
  ids.map((id) => `('${id}', 'a', 'eu', '', '10.0.0.1', 80)`).join(", ")

/** So seldom that only an announcement can be the reason for what is seen. */
export const NEVER_MS = 3_600_000

export const optionsOf = (url: string, more: Partial<PostgresOptions> = {}): PostgresOptions => ({
  url: Redacted.make(url),
  maxConnections: 4,
  minConnections: 0,
  connectTimeoutMs: 2_000,
  queryTimeoutMs: 5_000,
  ...more
})

export const clientOf = (url: string, more?: Partial<PostgresOptions>) => PostgresClient.layer(optionsOf(url, more))

/** A source that is followed. */
export interface Following {
  readonly events: ReadonlyArray<SourceEvent>
  /** As soon as the last rows are of these ids, in whatever order. */
  readonly sees: (...ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<BackendRow>>
  /** An event of this kind, the first since before what is done; or the first of all. */
  readonly next: <Tag extends SourceEvent["_tag"]>(
    tag: Tag,
    act?: Effect.Effect<unknown, unknown>
  ) => Effect.Effect<Extract<SourceEvent, { _tag: Tag }>>
  /** What was logged. */
  readonly logs: ReadonlyArray<string>
}

export const summary = (event: SourceEvent | undefined): string => {
  if (event?._tag === "Rows") {
    return `rows ${event.rows
      .map(({ id }) => String(id))
      .toSorted()
      .join(",")}`
  }
  return event?._tag === "Lost" ? `lost ${event.error.reason}` : "unchanged"
}

export interface FollowOptions extends Partial<PostgresOptions> {
  readonly reloadMs?: number
  readonly createSchema?: boolean
  /** A table was there once. */
  readonly stored?: boolean
}

export const follow = Effect.fnUntraced(function* (url: string, options: FollowOptions = {}) {
  const { createSchema = true, reloadMs = NEVER_MS, stored = false, ...client } = options
  const source = PostgresSource.layer({ reloadMs, createSchema }).pipe(
    Layer.provide([
      clientOf(url, client),
      TableSnapshotStore.layerMemory(stored ? { savedAt: 0, rows: [] } : undefined)
    ])
  )
  const logs: Array<string> = []
  const logger = Logger.layer([Logger.make(({ message }) => void logs.push(JSON.stringify(message)))])
  const { events: stream } = Context.get(yield* Layer.build(Layer.provide(source, logger)), BackendSource)
  const events: Array<SourceEvent> = []
  const watch = Watch.make()
  yield* stream.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        events.push(event)
        watch.touch()
      })
    ),
    Effect.provide(logger),
    Effect.forkScoped
  )
  const last = (): string => events.slice(-4).map(summary).join("; ")
  const following: Following = {
    events,
    sees: (...ids) => {
      const wanted = `rows ${ids.toSorted().join(",")}`
      return watch.until(
        () => `${wanted}; last were ${last()}`,
        () => {
          const rows = events.findLast((event) => event._tag === "Rows")
          return rows !== undefined && summary(rows) === wanted ? rows.rows : undefined
        }
      )
    },
    next: (tag, act) =>
      Effect.gen(function* () {
        const from = act === undefined ? 0 : events.length
        yield* Effect.orDie(act ?? Effect.void)
        return yield* watch.until(
          () => `${tag}; last were ${last()}`,
          () =>
            events.slice(from).find((event): event is Extract<SourceEvent, { _tag: typeof tag }> => event._tag === tag)
        )
      }),
    logs
  }
  return following
})

/** The store of a database. */
export const storeOf = Effect.fnUntraced(function* (url: string, options: Partial<PostgresOptions> = {}) {
  return Context.get(yield* Layer.build(PostgresStore.layer.pipe(Layer.provide(clientOf(url, options)))), BackendStore)
})

export const backendOf = (id: string, fields: Partial<BackendRow> = {}): Backend => {
  const decoded = decodeBackend({ id, app: "a", region: "eu", wg_ip: "10.0.0.1", port: 80, ...fields })
  if (decoded._tag !== "Backend") throw new Error(`no backend: ${JSON.stringify(decoded)}`)
  return decoded.backend
}

export const put = (id: string, fields: Partial<BackendRow> = {}): StoreChange => ({
  _tag: "Put",
  backend: backendOf(id, fields),
  owner: "pop-1",
  source: REGISTERED,
  at: 1_700_000_000_000
})
