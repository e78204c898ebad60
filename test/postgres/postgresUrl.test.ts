import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { toPostgres } from "../../layers/postgres/toPostgres.ts"
import { parsePostgresUrl, type PostgresUrl } from "../../layers/postgres/postgresUrl.ts"
import { statementsOf } from "../../src/backends/statements.ts"
import { put } from "./rig.ts"

const parsed = (text: string): PostgresUrl => Result.getOrThrow(parsePostgresUrl(text))

const refusal = (text: string): string => {
  const result = parsePostgresUrl(text)
  return Result.isFailure(result) ? result.failure.message : "taken"
}

describe("parsePostgresUrl", () => {
  it("tells where to connect, and what may be shown", () => {
    const target = (text: string): string => parsed(text).target
    assert.strictEqual(target("postgres://u:secret@db.example.com/app"), "db.example.com:5432/app")
    assert.strictEqual(target("postgresql://u@[fd00::1]:6000/app?password=secret"), "[fd00::1]:6000/app")
    assert.strictEqual(target("postgres:///app?host=/run/pg&user=u"), "/run/pg:5432/app")
    assert.deepStrictEqual(parsed("postgres:///app?host=/run/pg").connectTo, { path: "/run/pg/.s.PGSQL.5432" })
    assert.deepStrictEqual(parsed("postgres://h/app?port=1&dbname=x").connectTo, { host: "h", port: 1 })
  })

  it("means by sslmode what libpq means", () => {
    const mode = (query: string): string => parsed(`postgres://h/d?${query}`).tls.mode
    assert.strictEqual(mode(""), "prefer")
    assert.strictEqual(mode("sslmode=allow"), "prefer")
    assert.strictEqual(mode("sslmode=disable"), "disable")
    assert.strictEqual(mode("sslmode=require"), "require")
    assert.strictEqual(mode("sslmode=require&sslrootcert=/ca.pem"), "verify-ca")
    assert.strictEqual(mode("sslrootcert=system"), "verify-full")
    assert.strictEqual(parsed("postgres:///d?host=/run&sslmode=verify-full").tls.mode, "disable")
  })

  it("refuses what would not be done, and says nothing secret", () => {
    for (const query of [
      "sslmode=strict",
      "channel_binding=require",
      "sslnegotiation=direct",
      "target_session_attrs=read-write",
      "sslmode=require&sslrootcert=system",
      "host=a,b",
      "port=x"
    ]) {
      const text = refusal(`postgres://u:secret@h/d?${query}`)
      assert.include(text, "EDGEPROXY_POSTGRES_URL: ")
      assert.notInclude(text, "secret")
    }
    assert.include(refusal("postgres://u:secret@a:1,b:2/d"), "several hosts")
    assert.deepStrictEqual(parsed("postgres://h/d?channel_binding=prefer&keepalives=1&x=secret").ignored, [
      "keepalives",
      "x"
    ])
  })
})

describe("toPostgres", () => {
  it("numbers the parameters, and leaves the types to the columns", () => {
    assert.deepStrictEqual(
      toPostgres({ sql: "UPDATE t2 SET a = ?, b = 1 WHERE id = ? AND c <> 0", params: [1, "x"] }),
      {
        sql: "UPDATE t2 SET a = $1, b = '1' WHERE id = $2 AND c <> '0'",
        params: ["1", "x"]
      }
    )
    for (const { params, sql } of statementsOf(put("a")).map(toPostgres)) {
      assert.strictEqual(sql.match(/\$\d+/g)?.length, params.length)
      assert.notMatch(sql, /[?]|[ (]\d/)
    }
  })
})
