import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { BackendStore } from "../src/backends/BackendStore.ts"
import type { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { BackendSource, Sighting, SourceError } from "../src/routing/BackendSource.ts"
import type { TableSnapshotStore } from "../src/routing/TableSnapshotStore.ts"
import * as SqliteSource from "./sqlite/SqliteSource.ts"
import * as SqliteStore from "./sqlite/SqliteStore.ts"

type Config = EdgeConfig["Service"]

const postgresOptions = (config: Config) => ({
  url: config.postgresUrl ?? Redacted.make(""),
  maxConnections: config.postgresMaxConnections,
  minConnections: config.postgresMinConnections,
  connectTimeoutMs: config.postgresConnectTimeoutMs,
  queryTimeoutMs: config.postgresQueryTimeoutMs
})

const corrosionOptions = (config: Config) => ({
  url: config.corrosionApiUrl,
  token: config.corrosionToken,
  pollMs: config.corrosionPollMs,
  mode: config.corrosionMode
})

/** Loaded only when it is asked for: every driver costs the start of those who use another. */
const fromPostgres = async (config: Config, createSchema: boolean) => {
  const [{ PostgresClient }, source, store] = await Promise.all([
    import("./postgres/PostgresClient.ts"),
    import("./postgres/PostgresSource.ts"),
    import("./postgres/PostgresStore.ts")
  ])
  return Layer.merge(source.layer({ reloadMs: config.postgresReloadMs, createSchema }), store.layer).pipe(
    Layer.provide(PostgresClient.layer(postgresOptions(config)))
  )
}

const fromCorrosion = async (config: Config) => {
  const [source, store] = await Promise.all([
    import("./corrosion/CorrosionSource.ts"),
    import("./corrosion/CorrosionStore.ts")
  ])
  const options = corrosionOptions(config)
  return Layer.merge(source.layer(options), store.layer(options))
}

const fromSqlite = ({ dbPath: path, dbReloadMs: reloadMs }: Config) =>
  Layer.merge(SqliteSource.layer({ path, reloadMs }), SqliteStore.layer({ path }))

/** Where the routing table comes from, and where what this POP says of it is kept. `createSchema` false only looks. */
export const chooseDatabase = (
  config: Config,
  createSchema = true
): Layer.Layer<BackendSource | BackendStore, Error, TableSnapshotStore> => {
  if (config.corrosionEnabled) return Layer.unwrap(Effect.promise(() => fromCorrosion(config)))
  if (config.postgresEnabled) return Layer.unwrap(Effect.promise(() => fromPostgres(config, createSchema)))
  return fromSqlite(config)
}

/** What is to be said of the configured database before anything depends on it; nothing of a file, which is just read. */
export const probeDatabase = (config: Config): Effect.Effect<ReadonlyArray<Sighting>, SourceError> => {
  if (config.corrosionEnabled) {
    return Effect.flatMap(
      Effect.promise(() => import("./corrosion/probe.ts")),
      ({ probe }) => probe(corrosionOptions(config))
    )
  }
  if (config.postgresEnabled) {
    return Effect.flatMap(
      Effect.promise(() => import("./postgres/probe.ts")),
      ({ probe }) => probe(postgresOptions(config))
    )
  }
  return Effect.succeed([])
}
