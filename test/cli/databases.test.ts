import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as AgentProcess from "../support/corrosion/AgentProcess.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { postgresAbsent, postgresServer } from "../support/postgres.ts"
import { edgeproxy } from "./program.ts"

/** The schema that agents are given. */
const shipped = fileURLToPath(new URL("../../docker/corrosion/schema", import.meta.url))

/** Adds, sets, drains, lists and removes, as an operator would. */
const workThrough = Effect.fnUntraced(function* (name: string, env: Readonly<Record<string, string>>) {
  const cwd = yield* scratch
  const cli = (...line: ReadonlyArray<string>) =>
    edgeproxy(line, { cwd, env: { LISTEN_ADDR: "127.0.0.1:0", API_ENABLED: "false", ...env } })
  const list = Effect.map(cli("backends", "list", "--store", "--json"), ({ code, err, out }) => {
    assert.deepStrictEqual([code, err], [0, ""])
    return (JSON.parse(out) as { readonly backends: ReadonlyArray<object> }).backends
  })
  const add = ["backends", "add", "n1", "--region", "sa", "--port", "80", "--app", "shop"]

  assert.deepStrictEqual(yield* list, [])
  assert.deepStrictEqual(yield* cli(...add, "--ip", "10.0.0.1"), { code: 0, out: `added n1 to ${name}\n`, err: "" })
  assert.strictEqual((yield* cli("backends", "set", "n1", "--weight", "5", "--no-healthy")).code, 0)
  assert.strictEqual((yield* cli("backends", "drain", "n1", "--store")).code, 0)
  const [backend] = yield* list
  assert.deepInclude(backend, {
    id: "n1",
    weight: 5,
    healthy: false,
    state: "draining",
    hard_limit: 150,
    source: "table"
  })
  const check = yield* cli("check")
  assert.strictEqual(check.code, 0, check.out)
  assert.include(check.out, `${name}: 1 backends, 0 in rotation`)

  // A shared table must not lead the proxies of others to what only this host may reach (R9).
  for (const ip of ["127.0.0.1", "169.254.169.254", "8.8.8.8"]) {
    const refused = yield* cli("backends", "set", "n1", "--ip", ip)
    assert.deepStrictEqual([refused.code, refused.err.includes(ip)], [1, true])
  }
  assert.strictEqual((yield* cli("backends", "remove", "n1")).code, 0)
  assert.deepStrictEqual(yield* list, [])
})

describe("X1: the command line on a shared table", () => {
  it.live.skipIf(postgresAbsent !== undefined)(
    "of PostgreSQL",
    () =>
      Effect.gen(function* () {
        const server = yield* postgresServer()
        const database = yield* server.createDatabase
        yield* server.query(
          database,
          `CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT NOT NULL, region TEXT NOT NULL, country TEXT, wg_ip TEXT NOT NULL,
         port INTEGER NOT NULL, healthy INTEGER DEFAULT 1, weight INTEGER DEFAULT 2, soft_limit INTEGER DEFAULT 100,
         hard_limit INTEGER DEFAULT 150, deleted INTEGER DEFAULT 0)`
        )
        const env = { POSTGRES_ENABLED: "true", POSTGRES_URL: server.url(database) }
        yield* workThrough(`postgres 127.0.0.1:${server.port}/${database}`, env)
      }),
    60_000
  )

  it.live(
    "of Corrosion",
    () =>
      Effect.gen(function* () {
        const file = join(yield* scratch, "schema.sql")
        const tables = ["backends.sql", "edgeproxy_backend_state.sql"].map((name) => readFileSync(join(shipped, name)))
        writeFileSync(file, Buffer.concat(tables))
        const agent = yield* AgentProcess.start(["--schema", file])
        yield* workThrough(`corrosion ${agent.url}`, { CORROSION_ENABLED: "true", CORROSION_API_URL: agent.url })
      }),
    60_000
  )
})
