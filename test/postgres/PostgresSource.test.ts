import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type BackendRow, decodeBackend } from "../../src/domain/Backend.ts"
import type { SourceEvent } from "../../src/routing/BackendSource.ts"
import { postgresAbsent } from "../support/postgres.ts"
import { follow, insert, MISSION, NEVER_MS, skipped, summary, TestServer } from "./rig.ts"

const byId = (rows: ReadonlyArray<BackendRow>): ReadonlyMap<unknown, BackendRow> =>
  new Map(rows.map((row) => [row["id"], row]))

const isLost = (event: SourceEvent): boolean => event._tag === "Lost"

describe.skipIf(postgresAbsent !== undefined)(`PostgresSource${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("makes the schema of an empty database, and hears of each change (T1)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        yield* source.sees()
        yield* query(database, insert("a"))
        yield* source.sees("a")
        yield* query(database, insert("b", "c"))
        yield* source.sees("a", "b", "c")
        const { rows } = yield* source.next("Rows", query(database, "UPDATE backends SET weight = 7 WHERE id = 'a'"))
        assert.strictEqual(byId(rows).get("a")?.["weight"], 7)
        yield* query(database, "DELETE FROM backends WHERE id = 'b'")
        yield* source.sees("a", "c")
        yield* query(database, "TRUNCATE backends")
        yield* source.sees()

        const indexes = yield* query(database, "SELECT indexname FROM pg_indexes WHERE tablename = 'backends'")
        assert.includeMembers(
          indexes.map(({ indexname }) => indexname),
          ["backends_pkey", "idx_backends_healthy", "idx_backends_region"]
        )
        yield* query(database, insert("d"))
        yield* query(database, "UPDATE backends SET weight = 2")
        const [times] = yield* query(database, "SELECT updated_at > created_at AS later FROM backends")
        assert.strictEqual(times?.["later"], true)
        assert.isFalse(source.events.some(isLost))
      })
    )

    it.effect("takes the mission's table as it is, and says of D0 what the companion has", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        yield* query(database, insert("a"))
        const columns = "SELECT count(*) AS n FROM information_schema.columns WHERE table_name = 'backends'"
        const before = yield* query(database, columns)
        const source = yield* follow(url(database))
        const rows = yield* source.sees("a")
        assert.deepStrictEqual(rows, [
          {
            id: "a",
            app: "a",
            region: "eu",
            country: "",
            wg_ip: "10.0.0.1",
            port: 80,
            healthy: 1,
            weight: 1,
            soft_limit: 100,
            hard_limit: 150,
            deleted: 0
          }
        ])
        const { rows: again, states } = yield* source.next(
          "Rows",
          query(
            database,
            `INSERT INTO edgeproxy_backend_state (id, owner, source, draining, registered_at, heartbeat_at)
             VALUES ('a', 'pop-1', 'api', 1, 1700000000000, 9007199254740991)`
          )
        )
        assert.deepStrictEqual(states, [
          {
            id: "a",
            owner: "pop-1",
            source: "api",
            draining: 1,
            expired: 0,
            registered_at: 1_700_000_000_000,
            heartbeat_at: 9_007_199_254_740_991
          }
        ])
        assert.strictEqual(again[0], rows[0], "a row that has not changed is the same object")
        assert.deepStrictEqual(yield* query(database, columns), before)
      })
    )

    it.effect("reads a foreign table with other types, other columns and fewer of them (T4)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, "CREATE DOMAIN tcp_port AS bigint")
        yield* query(
          database,
          `CREATE TABLE backends (note jsonb, id varchar(40) UNIQUE, region char(5), wg_ip inet, port tcp_port,
             healthy boolean, weight numeric, place point, soft_limit smallint)`
        )
        yield* query(
          database,
          `INSERT INTO backends VALUES ('{}', 'a', 'eu', '10.0.0.1', 8080, true, 3, '(1,2)', 5),
             (NULL, 'b', 'us', '10.0.0.2', 9223372036854775807, NULL, 'NaN', NULL, NULL),
             (NULL, NULL, NULL, NULL, NULL, false, 1e400, NULL, NULL)`
        )
        const source = yield* follow(url(database))
        const rows = byId(yield* source.sees("a", "b", "null"))
        assert.deepStrictEqual(rows.get("a"), {
          id: "a",
          region: "eu",
          wg_ip: "10.0.0.1",
          port: 8080,
          healthy: true,
          weight: 3,
          soft_limit: 5
        })
        const decoded = Array.from(rows.values(), (row) => decodeBackend(row)._tag)
        assert.deepStrictEqual(decoded.toSorted(), ["Backend", "Bad", "Bad"])
        const { rows: changed } = yield* source.next(
          "Rows",
          query(database, "UPDATE backends SET port = 81 WHERE id = 'a'")
        )
        assert.strictEqual(byId(changed).get("a")?.["port"], 81)
        assert.strictEqual(byId(changed).get("b"), rows.get("b"))
      })
    )

    it.effect("reads rows whose ids are not unique, and those of a view", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const doubles = yield* createDatabase
        yield* query(doubles, "CREATE TABLE backends (id text, region text, wg_ip text, port int)")
        yield* query(doubles, "INSERT INTO backends VALUES ('a', 'eu', '10.0.0.1', 1), ('a', 'eu', '10.0.0.2', 2)")
        const source = yield* follow(url(doubles))
        yield* source.sees("a", "a")
        yield* query(doubles, "DELETE FROM backends WHERE port = 1")
        const [row] = yield* source.sees("a")
        assert.strictEqual(row?.["port"], 2)

        const views = yield* createDatabase
        yield* query(views, MISSION.replace("backends", "machines"))
        yield* query(views, "CREATE VIEW backends AS SELECT * FROM machines WHERE deleted = 0")
        yield* query(views, insert("a", "b"))
        const polled = yield* follow(url(views), { reloadMs: 20 })
        const before = byId(yield* polled.sees("a", "b"))
        yield* polled.next("Unchanged")
        yield* query(views, "UPDATE machines SET deleted = 1 WHERE id = 'b'")
        const after = byId(yield* polled.sees("a"))
        assert.strictEqual(after.get("a"), before.get("a"))
      })
    )

    it.effect("sees all of a transaction at once, and nothing of one that is undone", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        yield* source.sees()
        const rolledBack = `DO $$ BEGIN ${insert("x")}; RAISE EXCEPTION 'undone'; END $$`
        yield* query(database, rolledBack).pipe(Effect.exit)
        yield* query(
          database,
          `DO $$ BEGIN ${insert("a")}; ${insert("b")}; DELETE FROM backends WHERE id = 'a'; END $$`
        )
        yield* source.sees("b")
        const seen = source.events.filter((event) => event._tag === "Rows").map(summary)
        assert.deepStrictEqual(seen, ["rows ", "rows b"])
      })
    )

    it.effect("polls where nothing is announced: a role that may only read, a trigger that is off", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        yield* query(database, insert("a"))
        yield* query(database, "CREATE ROLE reader LOGIN PASSWORD 'only'")
        yield* query(database, "GRANT SELECT ON backends TO reader")
        const source = yield* follow(url(database, { user: "reader", password: "only" }), { reloadMs: 20 })
        yield* source.sees("a")
        yield* source.next("Unchanged")
        yield* query(database, insert("b"))
        yield* source.sees("a", "b")

        // Another POP with the rights makes the rest, which this one then uses.
        const owner = yield* follow(url(database), { reloadMs: 20 })
        yield* owner.sees("a", "b")
        yield* query(database, "ALTER TABLE backends DISABLE TRIGGER edgeproxy_notify")
        yield* query(database, "DELETE FROM backends WHERE id = 'a'")
        yield* owner.sees("b")
        yield* source.sees("b")
        yield* query(database, "DROP TRIGGER edgeproxy_notify ON backends")
        yield* query(database, insert("c"))
        yield* owner.sees("b", "c")
        assert.isFalse([...source.events, ...owner.events].some(isLost))
      })
    )

    it.effect("finds changes that were not announced, though it listens", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database), { reloadMs: 20 })
        yield* source.sees()
        // As an apply worker of logical replication does.
        yield* query(database, `DO $$ BEGIN SET session_replication_role = replica; ${insert("a")}; END $$`)
        yield* source.sees("a")
      })
    )

    it.effect("lets several start at once on an empty database", () =>
      Effect.gen(function* () {
        const { createDatabase, url } = yield* TestServer
        const database = yield* createDatabase
        const sources = yield* Effect.forEach(
          Array.from({ length: 6 }, () => url(database)),
          (url) => follow(url),
          { concurrency: "unbounded" }
        )
        for (const source of sources) yield* source.sees()
        assert.deepStrictEqual(
          sources.flatMap(({ events }) => events.map(summary)),
          sources.map(() => "rows ")
        )
        assert.deepStrictEqual(
          sources.flatMap(({ logs }) => logs),
          []
        )
      })
    )

    it.effect("does not bring a lost table back empty, and takes one that is put in its place (T3)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database), { stored: true, reloadMs: 20 })
        assert.strictEqual((yield* source.next("Lost")).error.reason, "schema")
        yield* query(database, MISSION)
        yield* query(database, insert("a"))
        yield* source.sees("a")
        assert.strictEqual(
          (yield* source.next("Lost", query(database, "ALTER TABLE backends RENAME TO old"))).error.reason,
          "schema"
        )
        yield* source.next("Rows", query(database, "ALTER TABLE old RENAME TO backends"))
        const { rows } = yield* source.next("Rows", query(database, "ALTER TABLE backends DROP COLUMN country"))
        assert.isFalse(rows.some((row) => "country" in row))
      })
    )

    it.effect("changes nothing when it is told so", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const empty = yield* follow(url(database), { createSchema: false })
        assert.strictEqual((yield* empty.next("Lost")).error.reason, "schema")
        yield* query(database, MISSION)
        const source = yield* follow(url(database), { createSchema: false })
        yield* source.sees()
        const made = yield* query(
          database,
          "SELECT relname AS name FROM pg_class WHERE relname LIKE 'edgeproxy%' UNION ALL SELECT tgname FROM pg_trigger"
        )
        assert.deepStrictEqual(made, [])
      })
    )

    it.effect("reads a huge or hostile text as one that is bad, and the rest as ever (R9)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        yield* source.sees()
        const { rows } = yield* source.next(
          "Rows",
          query(
            database,
            `INSERT INTO backends (id, app, region, country, wg_ip, port)
             VALUES ('huge', repeat('x', 40000000), 'eu', '', '10.0.0.1', 1), ('good', 'a', 'eu', '', '10.0.0.2', 2),
               ($1, $1, 'eu', '', $1, -2147483648)`,
            [`'; DROP TABLE backends; -- \u202e\u0001`]
          )
        )
        const decoded = rows.map((row) => decodeBackend(row)).map((row) => row._tag)
        assert.deepStrictEqual(decoded.toSorted(), ["Backend", "Bad", "Bad"])
      })
    )

    it.effect("reads 20,000 rows, and of a later change only what has changed (T2)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        yield* query(
          database,
          `INSERT INTO backends (id, app, region, country, wg_ip, port)
             SELECT 'node-' || i, 'app', 'eu', '', '10.0.' || i / 250 || '.' || i % 250 + 1, 80 FROM generate_series(1, 20000) i`
        )
        const source = yield* follow(url(database), { reloadMs: NEVER_MS })
        const { rows: first } = yield* source.next("Rows")
        assert.strictEqual(new Set(first.map(({ id }) => id)).size, 20_000)

        const { rows: second } = yield* source.next(
          "Rows",
          query(database, "UPDATE backends SET weight = 9 WHERE id IN ('node-7', 'node-19999')")
        )
        const before = new Set(first)
        const fresh = second.filter((row) => !before.has(row))
        assert.deepStrictEqual(fresh.map(({ id }) => String(id)).toSorted(), ["node-19999", "node-7"])

        const { rows: third } = yield* source.next("Rows", query(database, "DELETE FROM backends WHERE id = 'node-1'"))
        const held = new Set(second)
        assert.strictEqual(third.length, 19_999)
        assert.isTrue(third.every((row) => held.has(row)))
      })
    )

    it.effect("gives up on nobody: a wrong password and a missing database are told, never the password", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const login = { user: "late", password: "not/yet:known" }
        const source = yield* follow(url(database, login))
        const { error } = yield* source.next("Lost")
        assert.strictEqual(error.reason, "unreadable")
        assert.include(error.message, `127.0.0.1`)
        assert.notInclude(error.message, "yet")
        yield* query(database, `CREATE ROLE late SUPERUSER LOGIN PASSWORD '${login.password}'`)
        yield* source.sees()

        const nowhere = yield* follow(url("nowhere"))
        assert.strictEqual((yield* nowhere.next("Lost")).error.reason, "missing")
      })
    )
  })
})
