import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SqliteSource from "../../layers/sqlite/SqliteSource.ts"
import { type BackendRow, decodeBackend } from "../../src/domain/Backend.ts"
import { BackendSource, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const MISSION = `CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT, region TEXT, wg_ip TEXT, port INTEGER, healthy INTEGER,
  weight INTEGER, soft_limit INTEGER, hard_limit INTEGER, deleted INTEGER DEFAULT 0)`

const onDatabase = (path: string, sql: string): void => {
  const database = new DatabaseSync(path)
  database.exec(sql)
  database.close()
}

/** Runs one step before each look and gives the events of all looks. */
const looks = (path: string, steps: ReadonlyArray<() => void>, stored?: boolean) =>
  BackendSource.use(({ events }) =>
    events.pipe(
      Stream.take(steps.length + 1),
      Stream.mapAccum(
        () => 0,
        (index, event): readonly [number, ReadonlyArray<SourceEvent>] => {
          steps[index]?.()
          return [index + 1, [event]]
        }
      ),
      Stream.runCollect
    )
  ).pipe(
    Effect.provide(
      SqliteSource.layer({ path, reloadMs: 1 }).pipe(
        Layer.provide(TableSnapshotStore.layerMemory(stored === true ? { savedAt: 0, rows: [] } : undefined))
      )
    )
  )

const summary = (event: SourceEvent): string => {
  if (event._tag === "Rows") return `rows ${event.rows.map(({ id }) => String(id)).join(",")}`
  return event._tag === "Lost" ? `lost ${event.error.reason}` : "unchanged"
}

const rowsOf = (event: SourceEvent | undefined): ReadonlyArray<BackendRow> => {
  if (event?._tag !== "Rows") throw new Error(`no rows: ${event === undefined ? "no event" : summary(event)}`)
  return event.rows
}

const nothing = (): void => undefined

const insert = (id: string): string =>
  `INSERT INTO backends (id, region, wg_ip, port) VALUES ('${id}', 'eu', '10.0.0.1', 80);`

describe("SqliteSource", () => {
  it.live("creates a missing database with its schema, and reads rows as they change (T1, T2, T3)", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      const events = yield* looks(path, [
        () => onDatabase(path, insert("a")),
        nothing,
        () => onDatabase(path, `${insert("b")} UPDATE backends SET weight = 5 WHERE id = 'a'`),
        nothing
      ])
      assert.deepStrictEqual(events.map(summary), ["rows ", "rows a", "unchanged", "rows a,b", "unchanged"])
    }).pipe(Effect.scoped)
  )

  it.live("undoes what a writer has left behind that was killed, and reads on", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      onDatabase(path, `${MISSION}; ${insert("a")}`)
      // So many rows that they are in the file before the end, which never comes.
      const half = `
        const { DatabaseSync } = require("node:sqlite")
        const db = new DatabaseSync(${JSON.stringify(path)})
        db.exec("PRAGMA cache_size = 1; BEGIN")
        const put = db.prepare("INSERT INTO backends (id, region, wg_ip, port) VALUES (?, 'eu', '10.0.0.1', 80)")
        for (let i = 0; i < 5000; i++) put.run("half-" + i)
        process.kill(process.pid, "SIGKILL")`
      spawnSync(process.execPath, ["-e", half])
      assert.isAbove(statSync(`${path}-journal`).size, 0)
      const [first] = yield* looks(path, [])
      assert.deepStrictEqual(
        rowsOf(first).map(({ id }) => id),
        ["a"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("does not create a database that a stored table shows to have been here", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      assert.deepStrictEqual((yield* looks(path, [], true)).map(summary), ["lost missing"])
    }).pipe(Effect.scoped)
  )

  it.live("sees a file that vanishes, becomes a directory, is garbage, is replaced, is cut short, and names it", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const path = join(directory, "routing.db")
      onDatabase(path, `${MISSION}; ${insert("a")}`)
      const other = join(directory, "other.db")
      onDatabase(other, `${MISSION}; ${insert("z")}`)
      const events = yield* looks(path, [
        () => rmSync(path),
        () => mkdirSync(path),
        () => {
          rmSync(path, { recursive: true })
          writeFileSync(path, "this is no database, but long enough to be looked at".repeat(100))
        },
        () => renameSync(other, path),
        () => truncateSync(path, 5_000),
        () => {
          rmSync(path)
          onDatabase(path, "CREATE TABLE elsewhere (id)")
        },
        () => onDatabase(path, "CREATE TABLE backends (id TEXT, region TEXT)")
      ])
      assert.deepStrictEqual(events.map(summary), [
        "rows a",
        "lost missing",
        "lost unreadable",
        "lost corrupt",
        "rows z",
        "lost corrupt",
        "lost schema",
        "lost schema"
      ])
      for (const event of events) if (event._tag === "Lost") assert.include(event.error.message, path)
    }).pipe(Effect.scoped)
  )

  it.live("leaves a WAL database in WAL mode, and sees what is still in its log (T2)", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      const writer = new DatabaseSync(path)
      yield* Effect.addFinalizer(() => Effect.sync(() => writer.close()))
      writer.exec(`PRAGMA journal_mode = WAL; ${MISSION}; ${insert("a")}`)
      const events = yield* looks(path, [() => writer.exec(insert("b")), nothing])
      assert.deepStrictEqual(events.map(summary), ["rows a", "rows a,b", "unchanged"])
      assert.deepStrictEqual({ ...writer.prepare("PRAGMA journal_mode").get() }, { journal_mode: "wal" })
      // Bytes 18 and 19 of the header say which journal the file uses: 2 is WAL.
      assert.deepStrictEqual(Array.from(readFileSync(path).subarray(18, 20)), [2, 2])
    }).pipe(Effect.scoped)
  )

  it.live("reports a lock that stays, and reads on when it is gone", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      onDatabase(path, `${MISSION}; ${insert("a")}`)
      const writer = new DatabaseSync(path)
      yield* Effect.addFinalizer(() => Effect.sync(() => writer.close()))
      const events = yield* looks(path, [
        () => writer.exec(`BEGIN EXCLUSIVE; ${insert("b")}`),
        () => writer.exec("COMMIT")
      ])
      assert.deepStrictEqual(events.map(summary), ["rows a", "lost locked", "rows a,b"])
    }).pipe(Effect.scoped)
  )

  for (const [kind, schema] of [
    ["a table", `${MISSION}`],
    ["a table without rowid", `${MISSION} WITHOUT ROWID`],
    ["a view", `${MISSION.replace("backends", "real")}; CREATE VIEW backends AS SELECT * FROM real`]
  ] as const) {
    it.live(`reads every row of ${kind} once, over page limits (T4)`, () =>
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "routing.db")
        const target = kind === "a view" ? "real" : "backends"
        onDatabase(
          path,
          `${schema}; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
           INSERT INTO ${target} (id, region, wg_ip, port) SELECT printf('b-%05d', i), 'eu', '10.0.0.1', 80 FROM n`
        )
        const [event] = yield* looks(path, [])
        const ids = rowsOf(event).map(({ id }) => String(id))
        assert.strictEqual(new Set(ids).size, 1_500)
        assert.strictEqual(ids.length, 1_500)
      }).pipe(Effect.scoped)
    )
  }

  it.live("values that are no number of ours cost their own row only (R9)", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "routing.db")
      onDatabase(
        path,
        `CREATE TABLE backends (id, app, region, country, wg_ip, port, healthy, weight, soft_limit, hard_limit, deleted);
         INSERT INTO backends VALUES ('good', NULL, 'eu', NULL, '10.0.0.1', 80, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO backends VALUES ('huge', '', 'eu', '', '10.0.0.1', 80, 1, 9223372036854775807, 1, 1, 0);
         INSERT INTO backends VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO backends VALUES (x'00ff', x'00', x'00', x'00', x'00', x'00', x'00', x'00', x'00', x'00', 0);
         INSERT INTO backends (rowid, id, region, wg_ip, port) VALUES (-5, 'negative', 'EU', '::1', 443);`
      )
      const [event] = yield* looks(path, [])
      assert.deepStrictEqual(
        rowsOf(event)
          .map(decodeBackend)
          .map(({ _tag }) => _tag),
        ["Backend", "Backend", "Bad", "Bad", "Bad"]
      )
    }).pipe(Effect.scoped)
  )
})
