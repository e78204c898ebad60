import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { backendProcess } from "../support/backendProcess.ts"
import { scratch } from "../support/EdgeProcess.ts"
import type { Row } from "../support/routingDb.ts"
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
})
