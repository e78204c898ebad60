import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { BackendSource, type SourceError, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { announces, requireTable } from "./demands.ts"
import { awaitNews, listen } from "./news.ts"
import { PostgresClient } from "./PostgresClient.ts"
import { sourceError } from "./postgresError.ts"
import { found, prepare } from "./prepare.ts"
import { readShape, type Shape } from "./Shape.ts"
import * as TableReader from "./TableReader.ts"

export interface PostgresSourceOptions {
  /** How often the tables are looked at when nothing is announced. */
  readonly reloadMs: number
  /** False: what is there is read, and nothing is made. True by default. */
  readonly createSchema?: boolean
}

/** Notifications that come in a burst are one change. */
const BURST_MS = 2

/** At most half of the time is spent reading, however often the table changes. */
const MAX_REST_MS = 1_000

/** Where changes are announced, one look in so many reads the digests all the same: announcements can fail. */
const CROSS_CHECK = 6

/** Unannounced changes in a row after which each look is a reading one. */
const MAX_UNANNOUNCED = 2

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

/**
 * The routing table of a PostgreSQL database. One connection listens for what the triggers announce (T1), and reads: rows
 * that may have changed, in one snapshot with a digest of all, and everything when that does not add up. Each reload interval
 * it is asked whether it is still there and the same; where nothing is announced (a standby, a role without rights, a
 * foreign table) it is read then. It is found again by itself when it was lost.
 */
export const layer = (
  options: PostgresSourceOptions
): Layer.Layer<BackendSource, never, PostgresClient | TableSnapshotStore> =>
  Layer.effect(
    BackendSource,
    Effect.gen(function* () {
      const client = yield* PostgresClient
      const snapshots = yield* TableSnapshotStore
      return {
        name: "postgres",
        shared: true,
        keepsRows: true,
        events: Stream.callback<SourceEvent>(
          (queue) =>
            followTable({ ...options, client, snapshots, offer: (event) => Effect.asVoid(Queue.offer(queue, event)) }),
          { bufferSize: 1 }
        )
      }
    })
  )

interface Follower extends PostgresSourceOptions {
  readonly client: PostgresClient["Service"]
  readonly snapshots: TableSnapshotStore["Service"]
  readonly offer: (event: SourceEvent) => Effect.Effect<void>
}

/** Reads, waits, reads again, for as long as it is let; a lost connection is one event and a pause. */
const followTable = Effect.fnUntraced(function* ({
  client,
  createSchema = true,
  offer,
  reloadMs,
  snapshots
}: Follower) {
  const { target } = client
  // A database that was in use once must not come back with an empty table (T3).
  let mayCreate = yield* snapshots.load.pipe(
    Effect.map((stored) => stored === undefined),
    Effect.orElseSucceed(() => false)
  )
  const reader = TableReader.make()
  let failures = 0
  let unannounced = 0
  let told: string | undefined

  const tell = (shape: Shape, lacks: string | undefined) => {
    const isAnnounced = announces(shape)
    const text = isAnnounced ? "announced" : (lacks ?? "its tables have no triggers")
    if (text === told) return Effect.void
    const wasPolled = told !== undefined
    told = text
    if (!isAnnounced) {
      return Effect.logWarning("PostgreSQL does not announce changes; it is polled", { target, reason: text, reloadMs })
    }
    return wasPolled ? Effect.logInfo("PostgreSQL announces changes", { target }) : Effect.void
  }

  /** Ends well when the database is no longer what it was at the beginning. */
  const session: Effect.Effect<void, SqlError | SourceError, Scope.Scope> = Effect.gen(function* () {
    const link = yield* client.connect
    const connection = yield* link.connection.pin
    const { lacks, mayChange, shape } = yield* link.run(() =>
      createSchema ? prepare(connection, mayCreate) : Effect.map(readShape(connection), found)
    )
    const lacking = requireTable(target, shape, lacks)
    if (lacking !== undefined) return yield* lacking
    mayCreate = false
    yield* tell(shape, lacks)
    const news = announces(shape) ? yield* link.run(() => listen(connection)) : undefined
    // Ends first: leaving the channel in order would wait for a peer that may be gone.
    yield* Effect.addFinalizer(() => Effect.sync(link.cut))

    const look = Effect.fnUntraced(function* (first: boolean) {
      const start = yield* Clock.currentTimeMillis
      const hasChanged = yield* link.run((heard) => reader.read(connection, heard))
      const { rows, states } = reader.tables()
      yield* offer(
        first || hasChanged
          ? { _tag: "Rows", rows, ...(states === undefined ? {} : { states }) }
          : { _tag: "Unchanged" }
      )
      const end = yield* Clock.currentTimeMillis
      return { hasChanged, restUntil: end + Math.min(end - start, MAX_REST_MS) }
    })

    reader.reset(shape)
    let last = yield* look(true)
    failures = 0
    for (let looks = 1; ; looks++) {
      if (yield* awaitNews(news, reloadMs)) {
        unannounced = 0
        yield* Effect.sleep(Math.max(BURST_MS, last.restUntil - (yield* Clock.currentTimeMillis)))
        if (news !== undefined) yield* Queue.clear(news)
        last = yield* look(false)
        continue
      }
      const { fingerprint } = yield* link.run(() => readShape(connection))
      if (fingerprint !== shape.fingerprint) return
      const isCrossCheck = looks % CROSS_CHECK === 0
      if (isCrossCheck && mayChange) return
      if (news !== undefined && unannounced < MAX_UNANNOUNCED && !isCrossCheck) {
        yield* offer({ _tag: "Unchanged" })
        continue
      }
      last = yield* look(false)
      if (news === undefined || !last.hasChanged) continue
      unannounced++
      if (unannounced === MAX_UNANNOUNCED) {
        yield* Effect.logWarning("PostgreSQL does not announce all changes; it is polled", { target, reloadMs })
      }
    }
  })

  while (true) {
    const lost = yield* session.pipe(
      Effect.scoped,
      Effect.as(undefined),
      Effect.catchDefect((defect) => Effect.fail(sourceError(target, defect))),
      Effect.catch((error) => Effect.succeed(sourceError(target, error)))
    )
    if (lost !== undefined) yield* offer({ _tag: "Lost", error: lost })
    const pause = Math.min(FIRST_RETRY_MS * 2 ** failures, MAX_RETRY_MS)
    if (lost !== undefined) failures++
    yield* Effect.sleep(pause * (0.5 + (yield* Random.next) / 2))
  }
})
