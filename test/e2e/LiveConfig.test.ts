import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { spawnSync } from "node:child_process"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { backendProcess } from "../support/backendProcess.ts"
import { apiOf } from "../support/edgeApi.ts"
import { bundle, scratch, spawnEdge } from "../support/EdgeProcess.ts"
import { type Row, runSql } from "../support/routingDb.ts"
import { type Edge, greeted, refusalOf, served, startWith } from "./setup.ts"

const [brazilian, american] = ["127.1.0.7", "127.2.0.7"]

const row = (id: string, { address, port }: Endpoint, more: Pick<Row, "country" | "region">): Row => ({
  id,
  wg_ip: address,
  port,
  ...more
})

const watched = Effect.fnUntraced(function* (content: string, env: Readonly<Record<string, string>> = {}) {
  const near = yield* backendProcess("near")
  const far = yield* backendProcess("far")
  const path = join(yield* scratch, "config.toml")
  writeFileSync(path, content)
  const edge = yield* startWith(
    [
      row("near", near.endpoint, { country: "BR", region: "sa" }),
      row("far", far.endpoint, { country: "US", region: "us" })
    ],
    {
      CONFIG_WATCH_ENABLED: "true",
      CONFIG_WATCH_INTERVAL_SECS: "0.1",
      CONFIG_PATH: path,
      BINDING_TTL_SECS: "0",
      ...env
    }
  )
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  return { edge, path, write, near }
})

const changed = (edge: Edge, name: string, to: string) =>
  edge.log((line) => line.message === "setting changed" && line["name"] === `EDGEPROXY_${name}` && line["to"] === to)

const nameFor = (edge: Edge, from: string) =>
  Effect.scoped(Effect.map(greeted(edge.address, { from }), ({ name }) => name))

/** A command of the shipped program, run to its end. */
const runCommand = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.sync(() => {
    const own = Object.entries(env).map(([name, value]) => [`EDGEPROXY_${name}`, value])
    const { status, stderr, stdout } = spawnSync(process.execPath, [bundle, ...args], {
      env: { PATH: process.env["PATH"], ...Object.fromEntries(own) },
      encoding: "utf8"
    })
    return { code: status, stderr, stdout }
  })

describe("the watched configuration file", () => {
  it.live("changes who is let in and where clients go, and touches no open connection", () =>
    Effect.gen(function* () {
      const { edge, write } = yield* watched(`max_connections_per_client = 2`)
      const open = yield* served(edge.address, { from: brazilian })
      assert.isDefined(open)
      const second = yield* served(edge.address, { from: brazilian })
      assert.isDefined(second)
      assert.strictEqual(yield* refusalOf(edge.address, { from: brazilian }), "ECONNRESET")

      write(`deny_countries = ["BR"]\n[rate_limit]\nenabled = true\nburst = 1\nwindow_secs = 3600\nmax_requests = 1`)
      yield* changed(edge, "DENY_COUNTRIES", "BR")
      assert.strictEqual(yield* refusalOf(edge.address, { from: brazilian }), "ECONNRESET")
      assert.strictEqual(yield* nameFor(edge, american), "far")
      assert.strictEqual(yield* refusalOf(edge.address, { from: american }), "ECONNRESET")
      for (const peer of [open, second]) assert.strictEqual(peer?.closed(), undefined)
      if (open !== undefined) {
        yield* open.send("still here")
        yield* open.awaitText("still here")
      }

      write(`geo_overrides = "127.1.0.0/16=US,127.2.0.0/16=BR"`)
      yield* changed(edge, "GEO_OVERRIDES", "127.1.0.0/16=US,127.2.0.0/16=BR")
      assert.strictEqual(yield* nameFor(edge, brazilian), "far")
      assert.strictEqual(yield* nameFor(edge, american), "near")
    })
  )

  it.live("is left aside as a whole when anything in it is wrong, says why, and is looked at at once on SIGHUP", () =>
    Effect.gen(function* () {
      const { edge, path, write } = yield* watched("", { CONFIG_WATCH_INTERVAL_SECS: "3600" })
      write(`deny_countries = ["BR"]\nspill_at = "sideways"\nlisten_addr = "0.0.0.0:1"`)
      edge.signal("SIGHUP")
      const refused = yield* edge.log((line) => line.level === "error")
      assert.match(refused.message, /left aside/)
      assert.match(refused.message, /spill_at|SPILL_AT/)
      assert.match(refused.message, /listen_addr/)
      assert.strictEqual(yield* nameFor(edge, brazilian), "near")

      write(`deny_countries = ["BR"]`)
      edge.signal("SIGHUP")
      yield* changed(edge, "DENY_COUNTRIES", "BR")
      yield* edge.log("the configuration file is right again")
      assert.strictEqual(yield* refusalOf(edge.address, { from: brazilian }), "ECONNRESET")

      rmSync(path)
      edge.signal("SIGHUP")
      yield* changed(edge, "DENY_COUNTRIES", "")
      assert.strictEqual(yield* nameFor(edge, brazilian), "near")
    })
  )

  it.live("turns checks on and off", () =>
    Effect.gen(function* () {
      const { edge, near, write } = yield* watched("")
      write(`
        circuit_breaker_enabled = true
        [health_check]
        enabled = true
        interval_secs = 0.2
        [health]
        unhealthy_threshold = 2`)
      yield* changed(edge, "HEALTH_CHECK_ENABLED", "true")
      yield* near.signal("SIGKILL")
      yield* edge.log((line) => line.message.startsWith("backend down") && line["id"] === "near")
      assert.strictEqual(yield* nameFor(edge, brazilian), "far")
      const before = edge.logs.length
      write("")
      yield* changed(edge, "HEALTH_CHECK_ENABLED", "false")
      yield* edge.log((line) => line.message.startsWith("backend up") && line["id"] === "near", before)
    })
  )

  it.live("has every part act on it: circuits, closing on down, spilling, slow start, affinity, the safety gate", () =>
    Effect.gen(function* () {
      const { edge, near, write } = yield* watched("", {
        HEALTH_CHECK_ENABLED: "true",
        HEALTH_CHECK_INTERVAL_SECS: "60",
        METRICS_ENABLED: "true",
        METRICS_LISTEN_ADDR: "127.0.0.1:0"
      })
      const api = yield* apiOf(edge)
      const backendIs = (id: string, fits: (body: Readonly<Record<string, unknown>>) => boolean) =>
        api.until(`/api/v1/backends/${id}`, ({ body }) => fits(body))
      const open = yield* Effect.forEach([1, 2, 3], () => served(edge.address, { from: brazilian }))
      assert.isTrue(open.every((peer) => peer !== undefined))

      // Tiers spill at the soft limit now, which three connections are beyond.
      runSql(edge.database, "UPDATE backends SET soft_limit = 2 WHERE id = 'near'")
      yield* backendIs("near", ({ soft_limit }) => soft_limit === 2)
      assert.strictEqual(yield* nameFor(edge, brazilian), "near")
      write(`spill_at = "soft"`)
      yield* changed(edge, "SPILL_AT", "soft")
      assert.strictEqual(yield* nameFor(edge, brazilian), "far")

      write(`circuit_breaker_enabled = true\ncircuit_failure_threshold = 1\non_backend_down = "close"`)
      yield* changed(edge, "CIRCUIT_BREAKER_ENABLED", "true")
      yield* near.signal("SIGKILL")
      assert.strictEqual(yield* nameFor(edge, brazilian), "far")
      yield* backendIs("near", ({ circuit }) => circuit === "open")
      write("")
      yield* changed(edge, "CIRCUIT_BREAKER_ENABLED", "false")
      yield* backendIs("near", ({ circuit }) => circuit === "closed")

      // Half of the table would go: held, until the file says otherwise.
      const more = Array.from({ length: 4 }, (_, index) => `('x${index}', 'us', '127.0.0.1', ${9_000 + index})`)
      runSql(edge.database, `INSERT INTO backends (id, region, wg_ip, port) VALUES ${more.join(", ")}`)
      yield* backendIs("x3", ({ state }) => state === "active")
      runSql(edge.database, "DELETE FROM backends WHERE id <> 'far'")
      yield* edge.log((line) => line.message.startsWith("update held"))
      write("table_max_shrink = 1")
      yield* edge.log((line) => line.message.startsWith("held update taken"))
      yield* api.until("/api/v1/backends", ({ body }) => body["total"] === 1)

      // A backend that comes now comes slowly.
      write("slow_start_secs = 600")
      yield* changed(edge, "SLOW_START_SECS", "600")
      const late = yield* backendProcess("late")
      runSql(
        edge.database,
        `INSERT INTO backends (id, region, wg_ip, port) VALUES ('late', 'us', '127.0.0.1', ${late.endpoint.port})`
      )
      yield* backendIs("late", ({ share }) => share === 0.1)
      write("")
      yield* backendIs("late", ({ share }) => share === 1)
    })
  )

  it.live("closes the connections of a backend that is found down, from the moment on in which it says so", () =>
    Effect.gen(function* () {
      const { edge, write } = yield* watched("")
      const held = yield* served(edge.address, { from: brazilian })
      runSql(edge.database, "UPDATE backends SET healthy = 0 WHERE id = 'near'")
      yield* edge.log((line) => line.message === "routing table" && line["version"] === 2)
      assert.isUndefined(held?.closed())
      write(`on_backend_down = "close"`)
      const { end_cause } = yield* edge.entry(({ end_phase }) => end_phase === "relay")
      assert.strictEqual(end_cause, "backend-down")
    })
  )

  it.live("keeps the process from starting when it is wrong, and is read by the command line", () =>
    Effect.gen(function* () {
      const path = join(yield* scratch, "config.toml")
      const env = { CONFIG_WATCH_ENABLED: "true", CONFIG_PATH: path }
      writeFileSync(path, `deny_cidrs = "10.0.0.0/33"`)
      const refused = yield* spawnEdge({ env: { ...env, LISTEN_ADDR: "127.0.0.1:0" } })
      assert.deepStrictEqual(yield* refused.exit, { code: 64, signal: null })
      assert.match(JSON.stringify(refused.logs), /EDGEPROXY_DENY_CIDRS/)
      const checked = yield* runCommand(["check"], env)
      assert.strictEqual(checked.code, 64)
      assert.include(checked.stderr + checked.stdout, "EDGEPROXY_DENY_CIDRS")
      writeFileSync(path, `deny_cidrs = "10.0.0.0/8"`)
      const shown = yield* runCommand(["config"], env)
      assert.include(shown.stdout, "EDGEPROXY_DENY_CIDRS=10.0.0.0/8  # configuration file")
    })
  )
})
