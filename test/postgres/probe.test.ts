import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { probe } from "../../layers/postgres/probe.ts"
import { postgresAbsent } from "../support/postgres.ts"
import { follow, insert, MISSION, optionsOf, TestServer, skipped } from "./rig.ts"
import { sightings } from "../support/sightings.ts"

const said = (options: Parameters<typeof probe>[0]) => sightings(probe(options))

describe.skipIf(postgresAbsent !== undefined)(`probe of PostgreSQL${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("says what is there and what is not, and changes nothing", () =>
      Effect.gen(function* () {
        const { createDatabase, port, query, url } = yield* TestServer
        const database = yield* createDatabase
        const lines = said(optionsOf(url(database)))
        const answers = /^ok PostgreSQL 18\S* at 127\.0\.0\.1:\d+\/test1 answers, without TLS, as role postgres$/
        const [first, ...rest] = yield* lines
        assert.match(first ?? "", answers)
        assert.deepStrictEqual(rest, ["warn it has no table named backends; the first start makes it"])

        yield* query(database, MISSION.replace("country TEXT NOT NULL,", ""))
        yield* query(database, insert("a").replace(" country,", "").replace("'eu', ''", "'eu'"))
        assert.deepStrictEqual((yield* lines).slice(1), [
          "ok table backends has 1 rows, without country",
          "ok table edgeproxy_backend_state is missing; a start makes it",
          "ok triggers that announce changes are missing; a start tries to make them, and polls when it can't",
          "ok backends can register and drain"
        ])
        yield* query(database, "CREATE ROLE looker LOGIN PASSWORD 'x'")
        const login = { user: "looker", password: "x" }
        const refused = yield* Effect.flip(said(optionsOf(url(database, login))))
        assert.strictEqual(refused.reason, "unreadable")
        yield* query(database, "GRANT SELECT ON backends TO looker")
        assert.deepStrictEqual((yield* said(optionsOf(url(database, login)))).slice(1), [
          "ok table backends has 1 rows, without country",
          "warn table edgeproxy_backend_state can't be read, so nothing can register or drain",
          "warn triggers that announce changes are missing and can't be made: changes are found by polling",
          "warn this role may not write: nothing can register or drain"
        ])

        yield* Effect.scoped(Effect.flatMap(follow(url(database)), ({ sees }) => sees("a")))
        assert.deepStrictEqual((yield* lines).slice(1), [
          "ok table backends has 1 rows, without country",
          "ok table edgeproxy_backend_state has 0 rows",
          "ok changes are announced by triggers",
          "ok backends can register and drain"
        ])

        const reasonOf = (url: string) => Effect.map(Effect.flip(said(optionsOf(url))), ({ reason }) => reason)
        assert.strictEqual(yield* reasonOf(url("nowhere")), "missing")
        assert.strictEqual(yield* reasonOf(url(database, { user: "postgres", password: "wrong" })), "unreadable")
        assert.strictEqual(yield* reasonOf(url(database).replace(`:${port}`, ":1")), "unreachable")
        assert.strictEqual(yield* reasonOf(`${url(database)}?sslmode=bogus`), "unreadable")
      })
    )
  })
})
