import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { appendFileSync, readFileSync, statSync, chownSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { postgresAbsent } from "../support/postgres.ts"
import { follow, storeOf, put, TestServer, skipped } from "./rig.ts"

const openssl = process.env["OPENSSL"] ?? "openssl"

/** A certificate of its own for `localhost`; the server must own its key. */
const certify = (directory: string): void => {
  const [key, cert] = [join(directory, "server.key"), join(directory, "server.crt")]
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
  const args = [...request.split(" "), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
  execFileSync(openssl, args, { stdio: "ignore" })
  const { gid, uid } = statSync(directory)
  for (const path of [key, cert]) chownSync(path, uid, gid)
}

const prepare = (directory: string): void => {
  certify(directory)
  const rules = join(directory, "pg_hba.conf")
  const kept = readFileSync(rules, "utf8")
  writeFileSync(rules, "hostssl secret all all scram-sha-256\nhost secret all all reject\n")
  appendFileSync(rules, kept)
}

const encrypted =
  "SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = 'secret'"

describe.skipIf(postgresAbsent !== undefined)(`PostgreSQL over TLS${skipped}`, () => {
  layer(TestServer.layer({ settings: ["ssl = on"], prepare }), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("does what sslmode says", () =>
      Effect.gen(function* () {
        const { directory, query, url } = yield* TestServer
        yield* query("postgres", "CREATE DATABASE secret")
        const cert = `sslrootcert=${encodeURIComponent(join(directory, "data", "server.crt"))}`
        const byName = url("secret").replace("127.0.0.1", "localhost")
        const works = [
          url("secret"),
          `${url("secret")}?sslmode=require`,
          `${url("secret")}?sslmode=verify-ca&${cert}`,
          `${byName}?sslmode=verify-full&${cert}`
        ]
        for (const each of works) {
          yield* Effect.gen(function* () {
            const source = yield* follow(each)
            yield* source.next("Rows")
            const [row] = yield* query("postgres", encrypted)
            assert.strictEqual(row?.["ssl"], true, each)
          }).pipe(Effect.scoped)
        }
        const fails = [
          [`${url("secret")}?sslmode=disable`, "unreadable", "no encryption"],
          [`${url("secret")}?sslmode=verify-full&${cert}`, "unreachable", "127.0.0.1"],
          [`${byName}?sslmode=verify-full`, "unreachable", "self-signed"],
          [`${byName}?sslmode=verify-ca`, "unreachable", "self-signed"],
          [`${byName}?sslmode=verify-full&sslrootcert=/nowhere`, "unreachable", "/nowhere"]
        ] as const
        for (const [each, reason, word] of fails) {
          const { error } = yield* follow(each).pipe(
            Effect.flatMap((source) => source.next("Lost")),
            Effect.scoped
          )
          assert.strictEqual(error.reason, reason, each)
          assert.include(error.message, word)
        }
      })
    )

    it.effect("writes and reads much through TLS", () =>
      Effect.gen(function* () {
        const { createDatabase, query, url } = yield* TestServer
        const database = yield* createDatabase
        const secured = `${url(database)}?sslmode=require`
        const source = yield* follow(secured)
        yield* source.sees()
        const store = yield* storeOf(secured)
        yield* store.write([put("a")])
        yield* source.sees("a")
        const { rows } = yield* source.next(
          "Rows",
          query(
            database,
            `INSERT INTO backends (id, app, region, country, wg_ip, port)
               SELECT 'n' || i, 'app', 'eu', '', '10.0.0.1', 80 FROM generate_series(1, 5000) i`
          )
        )
        assert.strictEqual(rows.length, 5_001)
      })
    )
  })
})
