import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { probe } from "../../layers/postgres/probe.ts"
import { postgresAbsent } from "../support/postgres.ts"
import { follow, insert, MISSION, optionsOf, TestServer, skipped } from "./rig.ts"

describe.skipIf(postgresAbsent !== undefined)(`probe of PostgreSQL${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("says what is there and what is not, and changes nothing", () =>
      Effect.gen(function* () {
        const { createDatabase, port, query, url } = yield* TestServer
        const database = yield* createDatabase
        const lines = probe(optionsOf(url(database)))
        const answers = /^PostgreSQL 18\S* at 127\.0\.0\.1:\d+\/test1 answers, without TLS, as role postgres$/
        const [first, ...rest] = yield* lines
        assert.match(first ?? "", answers)
        assert.deepStrictEqual(rest, ["it has no table named backends; the first start makes it"])

        yield* query(database, MISSION.replace("country TEXT NOT NULL,", ""))
        yield* query(database, insert("a").replace(" country,", "").replace("'eu', ''", "'eu'"))
        assert.deepStrictEqual((yield* lines).slice(1), [
          "table backends has 1 rows, without country",
          "table edgeproxy_backend_state is missing; a start makes it",
          "triggers that announce changes are missing; a start tries to make them, and polls when it can't",
          "backends can register and drain"
        ])
        yield* query(database, "CREATE ROLE looker LOGIN PASSWORD 'x'")
        const login = { user: "looker", password: "x" }
        const refused = yield* Effect.flip(probe(optionsOf(url(database, login))))
        assert.strictEqual(refused.reason, "unreadable")
        yield* query(database, "GRANT SELECT ON backends TO looker")
        assert.deepStrictEqual((yield* probe(optionsOf(url(database, login)))).slice(1), [
          "table backends has 1 rows, without country",
          "table edgeproxy_backend_state can't be read, so nothing can register or drain",
          "triggers that announce changes are missing and can't be made: changes are found by polling",
          "this role may not write: nothing can register or drain"
        ])

        yield* Effect.scoped(Effect.flatMap(follow(url(database)), ({ sees }) => sees("a")))
        assert.deepStrictEqual((yield* lines).slice(1), [
          "table backends has 1 rows, without country",
          "table edgeproxy_backend_state has 0 rows",
          "changes are announced by triggers",
          "backends can register and drain"
        ])

        const reasonOf = (url: string) => Effect.map(Effect.flip(probe(optionsOf(url))), ({ reason }) => reason)
        assert.strictEqual(yield* reasonOf(url("nowhere")), "missing")
        assert.strictEqual(yield* reasonOf(url(database, { user: "postgres", password: "wrong" })), "unreadable")
        assert.strictEqual(yield* reasonOf(url(database).replace(`:${port}`, ":1")), "unreachable")
        assert.strictEqual(yield* reasonOf(`${url(database)}?sslmode=bogus`), "unreadable")
      })
    )
  })
})
