import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { scratch } from "../support/EdgeProcess.ts"
import { createDatabase } from "../support/routingDb.ts"
import { serve } from "../support/tcp.ts"
import { edgeproxy } from "./program.ts"

/** Nobody listens there. */
const nowhere = { LISTEN_ADDR: "127.0.0.1:0", API_LISTEN_ADDR: "127.0.0.1:9" }

interface Finding {
  readonly level: string
  readonly about: string
  readonly detail: string
}

const check = Effect.fnUntraced(function* (cwd: string, env: Readonly<Record<string, string>> = {}) {
  const { code, out } = yield* edgeproxy(["check", "--json"], {
    cwd,
    env: { ...nowhere, API_ENABLED: "false", ...env }
  })
  const { errors, findings } = JSON.parse(out) as { readonly errors: number; readonly findings: ReadonlyArray<Finding> }
  assert.strictEqual(code, errors === 0 ? 0 : 64)
  return {
    errors,
    of: (about: string) => findings.filter((finding) => finding.about === about),
    worst: (about: string) => findings.find((finding) => finding.about === about && finding.level !== "ok")
  }
})

describe("X1: check", () => {
  it.live("finds nothing wrong where nothing is, and changes nothing", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const database = join(cwd, "routing.db")
      createDatabase(database, [{ id: "n1", region: "sa", wg_ip: "10.0.0.1", port: 80 }])
      const before = readFileSync(database)
      const { errors, of } = yield* check(cwd)
      assert.strictEqual(errors, 0)
      assert.deepStrictEqual(of("table"), [
        { level: "ok", about: "table", detail: "sqlite routing.db: 1 backends, 1 in rotation" }
      ])
      assert.deepStrictEqual([readdirSync(cwd), readFileSync(database)], [["routing.db"], before])
    })
  )

  it.live("of a first start: no database is a warning, and it stays away", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const { worst } = yield* check(cwd)
      assert.deepInclude(worst("table"), { level: "warn" })
      assert.isFalse(existsSync(join(cwd, "routing.db")))
    })
  )

  it.live("tells each bad row with its reason, and nothing of it raw", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const rows = [
        { id: "\u001b[2J\u009b1m", region: "sa", wg_ip: "10.0.0.1", port: 80 },
        { id: "n2", region: "mars", wg_ip: "10.0.0.1", port: 80 }
      ]
      createDatabase(join(cwd, "routing.db"), rows)
      const { errors, of } = yield* check(cwd)
      const details = of("table").map(({ detail }) => detail)
      assert.strictEqual(errors, 0)
      assert.match(details.join("\n"), /row "n2" is not used: region: .* got "mars"/)
      const text = yield* edgeproxy(["check"], { cwd, env: nowhere })
      const list = yield* edgeproxy(["backends", "list", "--store", "--state", "quarantined"], { cwd })
      for (const line of `${text.out}${text.err}${list.out}${list.err}`.split("\n")) assert.match(line, /^[^\p{C}]*$/u)
      assert.include(list.out, "x9b1m")
    })
  )

  it.live.each([
    ["a table that is no database", { DB_PATH: "jpeg" }, "table", "corrupt"],
    ["a directory", { DB_PATH: "." }, "table", "directory"],
    ["no geo database", { GEOIP_PATH: "nix.mmdb" }, "geo database", "nix.mmdb"],
    ["no certificate", { TLS_ENABLED: "true", TLS_CERT: "nix.crt", TLS_KEY: "jpeg" }, "certificates", "nix.crt"],
    ["an address of another host", { LISTEN_ADDR: "192.0.2.1:0" }, "listeners", "not an address of this host"],
    ["a bad setting", { REGION: "mars" }, "configuration", "EDGEPROXY_REGION"],
    [
      "no PostgreSQL",
      { POSTGRES_ENABLED: "true", POSTGRES_URL: "postgres://u:s3cret@127.0.0.1:9/db" },
      "table",
      "127.0.0.1"
    ],
    ["no BIRD", { ANYCAST_ENABLED: "true", ANYCAST_BIRD_SOCKET: "nix.ctl" }, "anycast", "no such socket"],
    ["no Corrosion", { CORROSION_ENABLED: "true", CORROSION_API_URL: "http://127.0.0.1:9" }, "table", "127.0.0.1"]
  ] as const)("fails with 64 and the reason: %s", ([, env, about, reason]) =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      writeFileSync(join(cwd, "jpeg"), Buffer.from("ffd8ffe000104a46494600010100000100010000ffd9", "hex"))
      const { errors, of } = yield* check(cwd, env)
      assert.isAbove(errors, 0)
      const details = of(about).filter(({ level }) => level === "error")
      assert.include(JSON.stringify(details), reason)
      assert.notInclude(JSON.stringify(details), "s3cret")
    })
  )

  it.live("fails on a port that is in use", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const { worst } = yield* check(yield* scratch, { LISTEN_ADDR: `127.0.0.1:${endpoint.port}` })
      assert.deepInclude(worst("listeners"), { level: "error", detail: `127.0.0.1:${endpoint.port}: it is in use` })
    })
  )
})

describe("X1: the command line where nothing runs", () => {
  it.live("says so, with 1", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      // The port of the URL is one that nobody can have: that of a server which has ended.
      const { port } = yield* Effect.scoped(Effect.map(serve(), ({ endpoint }) => endpoint))
      const env = { API_LISTEN_ADDR: `[::]:${port}` }
      for (const line of [["health"], ["explain", "192.0.2.1"], ["connections"], ["table", "show"]]) {
        assert.deepStrictEqual(yield* edgeproxy(line, { cwd, env }), {
          code: 1,
          out: "",
          err: `no edgeproxy answers at [::1]:${port}: connection refused; is it running?\n`
        })
      }
      const list = yield* edgeproxy(["backends", "list"], { cwd, env: { ...env, REGION: "mars" } })
      assert.match(list.err, /is it running\? --store takes the table itself\.\n$/)
    })
  )

  it.live("tells a wrong command line with 2, a wrong setting with 64", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const usage = yield* edgeproxy(["backends", "drain"], { cwd })
      assert.deepStrictEqual([usage.code, usage.err.includes("id")], [2, true])
      const store = yield* edgeproxy(["backends", "list", "--store"], { cwd, env: { REGION: "mars" } })
      assert.deepStrictEqual([store.code, store.err.includes("EDGEPROXY_REGION")], [64, true])
      const off = yield* edgeproxy(["health"], { cwd, env: { API_ENABLED: "false" } })
      assert.deepStrictEqual([off.code, off.err.includes("EDGEPROXY_API_ENABLED")], [1, true])
      const url = yield* edgeproxy(["health", "--api", "127.0.0.1:8081"], { cwd })
      assert.deepStrictEqual([url.code, url.err.includes("http://")], [1, true])
    })
  )

  it.live("a database that is not there is told, and not made", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const add = ["backends", "add", "n1", "--region", "sa", "--ip", "10.0.0.1", "--port", "80"]
      for (const line of [add, ["backends", "list", "--store"]]) {
        const { code, err } = yield* edgeproxy(line, { cwd })
        assert.deepStrictEqual([code, err.includes("no such file")], [1, true])
      }
      assert.deepStrictEqual(readdirSync(cwd), [])
    })
  )
})
