import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CHANNEL } from "../../layers/postgres/schema.ts"
import { follow, insert, NEVER_MS, skipped, TestServer } from "../postgres/rig.ts"
import { fuzzRounds, mutants } from "../support/mutants.ts"
import { postgresAbsent } from "../support/postgres.ts"

const COUNT = 150

describe.skipIf(postgresAbsent !== undefined)(`what is announced in PostgreSQL${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect(
      "may be anything, and as much as anybody likes: the table is what it is",
      () =>
        Effect.gen(function* () {
          const { createDatabase, query, url } = yield* TestServer
          const database = yield* createDatabase
          const source = yield* follow(url(database), { reloadMs: NEVER_MS })
          yield* source.sees()
          yield* query(database, insert("a"))
          yield* source.sees("a")
          const before = source.events.length
          const payloads = Array.from(mutants(Buffer.from(`{"id":"a","weight":2}`.repeat(40)), COUNT), (bytes) =>
            // PostgreSQL takes no zero byte, and less than 8000 of others.
            bytes.toString("utf8").replaceAll("\u0000", "").slice(0, 2_000)
          )
          for (const payload of payloads) {
            yield* query(database, "SELECT pg_notify($1, $2)", [CHANNEL, payload])
          }
          yield* query(
            database,
            `SELECT pg_notify('${CHANNEL}', repeat('x', 7000) || i) FROM generate_series(1, 5000) i`
          )
          yield* query(database, insert("b"))
          yield* source.sees("a", "b")
          const rows = source.events.slice(before).filter(({ _tag }) => _tag === "Rows")
          assert.isAtMost(rows.length, 2)
          assert.notInclude(
            source.events.map(({ _tag }) => _tag),
            "Lost"
          )
        }),
      60_000 * fuzzRounds
    )
  })
})
