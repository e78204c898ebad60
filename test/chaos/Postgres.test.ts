import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { apiOf } from "../support/edgeApi.ts"
import { postgresAbsent, type PostgresServer, postgresServer } from "../support/postgres.ts"
import type { Row } from "../support/routingDb.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { load, upTo } from "./visit.ts"

/** Writes the row, new or not. */
const put = (server: PostgresServer, database: string, row: Row) => {
  const entries = Object.entries(row)
  const names = entries.map(([name]) => name).join(", ")
  const places = entries.map((_, index) => `$${index + 1}`).join(", ")
  return server.query(
    database,
    `INSERT INTO backends (${names}) VALUES (${places}) ON CONFLICT (id) DO UPDATE SET weight = excluded.weight`,
    entries.map(([, value]) => value)
  )
}

const table = `CREATE TABLE backends (
  id TEXT PRIMARY KEY, app TEXT NOT NULL, region TEXT NOT NULL, country TEXT NOT NULL, wg_ip TEXT NOT NULL,
  port INTEGER NOT NULL, healthy INTEGER NOT NULL DEFAULT 1, weight INTEGER NOT NULL DEFAULT 1,
  soft_limit INTEGER NOT NULL DEFAULT 100, hard_limit INTEGER NOT NULL DEFAULT 150, deleted INTEGER NOT NULL DEFAULT 0)`

for (const engine of engines) {
  describe.skipIf(postgresAbsent !== undefined)(`PostgreSQL, engine ${engine}`, () => {
    it.live(
      "killed with -9 and restarted under load costs no client anything, and takes writes again",
      () =>
        Effect.gen(function* () {
          const server = yield* postgresServer()
          const database = yield* server.createDatabase
          yield* server.query(database, table)
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const late = yield* chaosBackend("late")
          const play = yield* scene(
            engine,
            all.map(({ row }) => row()),
            { POSTGRES_ENABLED: "true", POSTGRES_URL: server.url(database), BACKEND_ALLOW_CIDRS: "127.0.0.0/8" },
            { publish: (rows) => Effect.forEach(rows, (row) => put(server, database, row), { discard: true }) }
          )
          const api = yield* apiOf(play.edge)
          const drain = (what: "drain" | "undrain") => api.call("POST", `/api/v1/backends/a/${what}`)
          const clients = yield* load(play.edge.address)
          for (const _ of upTo(rounds)) {
            const from = play.edge.logs.length
            yield* server.kill
            yield* play.edge.log("source lost", from)
            assert.strictEqual((yield* drain("drain")).status, 503)
            yield* clients.more(30)
            yield* server.start
            yield* timed(`${engine}: PostgreSQL is back`, play.edge.log("source is back", from))
            yield* put(server, database, late.row({ weight: 1 }))
            yield* timed(`${engine}: a backend that is new in PostgreSQL serves`, clients.servedBy("late"))
            for (const what of ["drain", "undrain"] as const) assert.strictEqual((yield* drain(what)).status, 200)
            const tableFrom = play.edge.logs.length
            yield* put(server, database, late.row({ weight: 0 }))
            yield* play.edge.log("routing table", tableFrom)
          }
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play, /source lost/)
        }),
      patience
    )
  })
}
