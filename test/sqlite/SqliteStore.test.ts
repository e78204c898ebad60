import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { createBackends } from "../../layers/sqlite/schema.ts"
import * as SqliteStore from "../../layers/sqlite/SqliteStore.ts"
import { BackendStore, type StoreChange } from "../../src/backends/BackendStore.ts"
import { backend } from "../support/fixtures.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const put = (id: string): StoreChange => ({ _tag: "Put", backend: backend({ id }), owner: "gru", source: "api", at: 1 })

/** A store on a file that the statements have made. */
const on = Effect.fnUntraced(function* (sql: string) {
  const path = join(yield* tempDirectory, "routing.db")
  const db = new DatabaseSync(path)
  yield* Effect.addFinalizer(() => Effect.sync(() => db.isOpen && db.close()))
  db.exec(sql)
  const write = (...changes: ReadonlyArray<StoreChange>) =>
    Effect.flatMap(BackendStore, (store) => store.write(changes)).pipe(Effect.provide(SqliteStore.layer({ path })))
  const ids = () =>
    db
      .prepare("SELECT id FROM backends ORDER BY id")
      .all()
      .map(({ id }) => id)
  return {
    path,
    db,
    write,
    ids,
    reason: (...changes: ReadonlyArray<StoreChange>) =>
      Effect.map(Effect.flip(write(...changes)), ({ reason }) => reason)
  }
})

describe("the SQLite store", () => {
  it.effect("writes all of the changes or none", () =>
    Effect.gen(function* () {
      const { db, ids, reason, write } = yield* on(
        `${createBackends}; CREATE TRIGGER no BEFORE INSERT ON backends WHEN NEW.id = 'bad' BEGIN SELECT RAISE(ABORT, 'not you'); END`
      )
      yield* write(put("a"), put("b"))
      assert.deepStrictEqual(ids(), ["a", "b"])
      assert.strictEqual(yield* reason(put("c"), put("bad"), put("d")), "rejected")
      assert.deepStrictEqual(ids(), ["a", "b"])
      assert.strictEqual(db.prepare("SELECT count(*) AS n FROM edgeproxy_backend_state").get()?.["n"], 2)
    })
  )

  it.effect("leaves the journal mode of the database as it is", () =>
    Effect.gen(function* () {
      for (const mode of ["delete", "wal", "truncate"]) {
        const { db, ids, write } = yield* on(`PRAGMA journal_mode = ${mode}; ${createBackends}`)
        yield* write(put("a"))
        assert.deepStrictEqual(ids(), ["a"])
        // Of delete and truncate only the connection knows.
        const now = db.prepare("PRAGMA journal_mode").get()?.["journal_mode"]
        assert.strictEqual(now === "wal", mode === "wal")
      }
    })
  )

  it.effect("writes what a foreign table has columns for", () =>
    Effect.gen(function* () {
      const { db, write } = yield* on(
        "CREATE TABLE backends (id TEXT PRIMARY KEY, region TEXT, wg_ip TEXT, port INTEGER)"
      )
      yield* write(
        put("a"),
        { _tag: "Set", id: "a", fields: { weight: 3, port: 81 } },
        { _tag: "Drain", id: "a", draining: true }
      )
      yield* write(put("b"))
      assert.deepStrictEqual(
        { ...db.prepare("SELECT * FROM backends WHERE id = 'a'").get() },
        { id: "a", region: "eu", wg_ip: "10.0.0.1", port: 81 }
      )
    })
  )

  it.effect("says what is wrong", () =>
    Effect.gen(function* () {
      const none = yield* on("CREATE TABLE other (id TEXT)")
      assert.strictEqual(yield* none.reason(put("a")), "schema")
      const keyless = yield* on("CREATE TABLE backends (id TEXT, region TEXT, wg_ip TEXT, port INTEGER)")
      assert.strictEqual(yield* keyless.reason(put("a")), "schema")
      const gone = yield* on(createBackends)
      gone.db.close()
      renameSync(gone.path, `${gone.path}.away`)
      assert.strictEqual(yield* gone.reason(put("a")), "unavailable")
      assert.throws(() => statSync(gone.path), /ENOENT/)
      writeFileSync(gone.path, "this is no database, however long it may be")
      assert.strictEqual(yield* gone.reason(put("a")), "unavailable")
      assert.match(readFileSync(gone.path, "utf8"), /^this is no database/)
    })
  )

  it.live("waits for another writer", () =>
    Effect.gen(function* () {
      const { db, ids, write } = yield* on(createBackends)
      db.exec("BEGIN IMMEDIATE; INSERT INTO backends (id) VALUES ('first')")
      const waiting = yield* Effect.forkChild(write(put("second")), { startImmediately: true })
      db.exec("COMMIT")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(ids(), ["first", "second"])
    })
  )

  it.live("gives up on one that does not end", () =>
    Effect.gen(function* () {
      const { db, ids, reason } = yield* on(createBackends)
      db.exec("BEGIN IMMEDIATE")
      assert.strictEqual(yield* reason(put("a")), "timeout")
      db.exec("ROLLBACK")
      assert.deepStrictEqual(ids(), [])
    })
  )
})
