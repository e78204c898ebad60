import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { StoreChange } from "../../src/backends/BackendStore.ts"
import { decodeBackend } from "../../src/domain/Backend.ts"
import { decodeState } from "../../src/domain/BackendState.ts"
import { postgresAbsent } from "../support/postgres.ts"
import { backendOf, follow, MISSION, put, storeOf, TestServer, skipped } from "./rig.ts"

const hostile = [
  "'; DROP TABLE backends; --",
  '"$1" ? ?',
  "$2",
  "\\'; SELECT 1",
  "0",
  "naïve-日本-🦊",
  "a'||(SELECT 1)||'"
]

describe.skipIf(postgresAbsent !== undefined)(`PostgresStore${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("makes each change, and the source tells of it", () =>
      Effect.gen(function* () {
        const { createDatabase, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        yield* source.sees()
        const store = yield* storeOf(url(database))
        const states = Effect.fnUntraced(function* (change: StoreChange) {
          const { rows, states } = yield* source.next("Rows", store.write([change]))
          const [row] = rows
          return {
            backend: row === undefined ? undefined : decodeBackend(row),
            state: states?.[0] === undefined ? undefined : decodeState(states[0])
          }
        })
        const state = {
          id: "a",
          owner: "pop-1",
          source: "api",
          draining: false,
          expired: false,
          registeredAt: 1_700_000_000_000,
          heartbeatAt: 1_700_000_000_000
        }
        const backend = backendOf("a", { country: "BR", weight: 3, hard_limit: 0 })
        assert.deepStrictEqual(yield* states({ ...put("a"), backend } as StoreChange), {
          backend: { _tag: "Backend", backend },
          state
        })
        const fields = { weight: 8, healthy: false, address: "10.0.0.9" }
        assert.deepStrictEqual((yield* states({ _tag: "Set", id: "a", fields })).backend, {
          _tag: "Backend",
          backend: { ...backend, ...fields }
        })
        assert.deepStrictEqual((yield* states({ _tag: "Expire", id: "a", owner: "pop-2" })).state, {
          ...state,
          owner: "pop-2",
          expired: true
        })
        const at = 1_800_000_000_000
        const heard = { ...state, owner: "pop-3", heartbeatAt: at }
        assert.deepStrictEqual((yield* states({ _tag: "Heartbeat", id: "a", owner: "pop-3", at })).state, heard)
        assert.deepStrictEqual((yield* states({ _tag: "Drain", id: "a", draining: true })).state, {
          ...heard,
          draining: true
        })
        assert.deepStrictEqual(yield* states({ _tag: "Remove", id: "a" }), { backend: undefined, state: undefined })
      })
    )

    it.effect("takes any text for what it is", () =>
      Effect.gen(function* () {
        const { createDatabase, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        yield* source.sees()
        const store = yield* storeOf(url(database))
        yield* store.write(hostile.map((id) => put(id, { app: id })))
        const rows = yield* source.sees(...hostile)
        assert.isTrue(rows.every(({ app, id }) => app === id))
        yield* store.write(hostile.map((id) => ({ _tag: "Remove", id })))
        yield* source.sees()
        const error = yield* Effect.flip(store.write([{ _tag: "Drain", id: "nul\u0000", draining: true }]))
        assert.strictEqual(error.reason, "rejected")
      })
    )

    it.effect("makes all changes or none, in their order", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        yield* query(database, "ALTER TABLE backends ADD CHECK (port <> 81)")
        const store = yield* storeOf(url(database))
        const error = yield* Effect.flip(store.write([put("a"), put("b", { port: 81 }), put("c")]))
        assert.strictEqual(error.reason, "rejected")
        assert.include(error.detail, "check constraint")
        assert.deepStrictEqual(yield* query(database, "SELECT id FROM backends"), [])
        const many = Array.from({ length: 300 }, (_, index) => put("a", { weight: index }))
        yield* store.write([...many, put("b"), { _tag: "Remove", id: "b" }])
        assert.deepStrictEqual(yield* query(database, "SELECT id, weight FROM backends"), [{ id: "a", weight: 299 }])
      })
    )

    it.effect("writes flags into booleans, addresses into inet, and what has no column nowhere", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(
          database,
          "CREATE TABLE backends (id text PRIMARY KEY, region text, wg_ip inet, port bigint, healthy boolean, deleted boolean)"
        )
        yield* query(database, "INSERT INTO backends VALUES ('a', 'eu', '10.0.0.1', 1, false, true)")
        const store = yield* storeOf(url(database))
        yield* store.write([put("a"), put("b"), { _tag: "Set", id: "b", fields: { healthy: false, weight: 9 } }])
        const rows = "SELECT id, host(wg_ip) AS ip, healthy, deleted FROM backends ORDER BY id"
        assert.deepStrictEqual(yield* query(database, rows), [
          { id: "a", ip: "10.0.0.1", healthy: true, deleted: false },
          { id: "b", ip: "10.0.0.1", healthy: false, deleted: false }
        ])
        // What is known of the columns is looked up again when it is wrong.
        yield* query(database, "ALTER TABLE backends DROP COLUMN deleted")
        yield* store.write([put("c")])
        assert.strictEqual((yield* query(database, "SELECT id FROM backends")).length, 3)
      })
    )

    it.effect("says why not: no table, no right, no time", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const store = yield* storeOf(url(database), { queryTimeoutMs: 400 })
        const reasonOf = (change: StoreChange) => Effect.map(Effect.flip(store.write([change])), ({ reason }) => reason)
        assert.strictEqual(yield* reasonOf(put("a")), "schema")

        yield* query(database, MISSION)
        yield* store.write([put("a")])
        yield* query(database, "CREATE ROLE looker LOGIN PASSWORD 'x'")
        yield* query(database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
        const looker = yield* storeOf(url(database, { user: "looker", password: "x" }))
        assert.strictEqual((yield* Effect.flip(looker.write([put("b")]))).reason, "readonly")

        // Held until the time of the writer is over, and longer.
        const held = query(
          database,
          "DO $$ BEGIN LOCK TABLE backends; PERFORM pg_advisory_lock(1); PERFORM pg_sleep(1); END $$"
        )
        const holder = yield* Effect.forkScoped(held)
        const locked = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
        while ((yield* query(database, locked)).length === 0) yield* Effect.yieldNow
        assert.strictEqual(yield* reasonOf({ _tag: "Set", id: "a", fields: { weight: 99 } }), "timeout")
        yield* Fiber.join(holder)
        yield* store.write([put("b", { weight: 3 })])
        assert.deepStrictEqual(
          yield* query(database, "SELECT id, weight FROM backends ORDER BY id"),
          [
            { id: "a", weight: 1 },
            { id: "b", weight: 3 }
          ],
          "a write that was given up does not come true later"
        )
      })
    )

    it.effect("makes a transaction again that lost against another, but not for ever", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        yield* query(database, "CREATE SEQUENCE tries")
        yield* query(
          database,
          `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') <= 2 OR NEW.id = 'never' THEN RAISE 'lost' USING ERRCODE = '40001'; END IF;
             RETURN NEW; END $$`
        )
        yield* query(database, "CREATE TRIGGER lose BEFORE INSERT ON backends FOR EACH ROW EXECUTE FUNCTION lose()")
        const store = yield* storeOf(url(database))
        yield* store.write([put("a")])
        assert.deepStrictEqual(yield* query(database, "SELECT last_value::int AS n FROM tries"), [{ n: 3 }])
        assert.strictEqual((yield* Effect.flip(store.write([put("never")]))).detail, "lost")
        assert.deepStrictEqual(yield* query(database, "SELECT last_value::int AS n FROM tries"), [{ n: 7 }])
      })
    )

    it.effect("writes at the same time as others, with no more connections than it may have", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        yield* query(database, MISSION)
        const store = yield* storeOf(url(database), { maxConnections: 3 })
        const ids = Array.from({ length: 40 }, (_, index) => `node-${index}`)
        yield* Effect.forEach(ids, (id) => store.write([put("shared"), put(id)]), { concurrency: "unbounded" })
        const [row] = yield* query(database, "SELECT count(*)::int AS n FROM backends")
        assert.strictEqual(row?.["n"], 41)
        const connections = "SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = 'edgeproxy'"
        assert.strictEqual((yield* query(database, connections, [database])).length, 2)
      })
    )
  })
})
