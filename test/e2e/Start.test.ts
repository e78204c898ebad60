import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { cp, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bundleDirectory, scratch, spawnEdge, startEdge } from "../support/EdgeProcess.ts"
import * as outsiders from "../support/outsiders.ts"
import { createDatabase, rowOf } from "../support/routingDb.ts"
import { connect, greet, serve } from "../support/tcp.ts"

const EXIT_CONFIG = 64

const jpeg = Buffer.from("ffd8ffe000104a46494600010100000100010000ffd9", "hex")

const brokenDatabases: ReadonlyArray<readonly [what: string, make: (path: string) => void]> = [
  ["missing", () => undefined],
  ["a JPEG", (path) => writeFileSync(path, jpeg)],
  ["empty", (path) => writeFileSync(path, "")],
  ["a directory", (path) => mkdirSync(path)]
]

describe("the start", () => {
  it.live("names every bad variable at once, and ends with 64", () =>
    Effect.gen(function* () {
      const bad = {
        EDGEPROXY_REGION: "mars",
        EDGEPROXY_LISTEN_ADDR: "127.0.0.1:http",
        EDGEPROXY_CONNECT_ATTEMPTS: "many",
        EDGEPROXY_IDLE_TIMEOUT_SECS: "-1",
        EDGEPROXY_GEO_OVERRIDES: "127.0.0.1/33=BR",
        EDGEPROXY_LOG_LEVEL: "loud"
      }
      const edge = yield* spawnEdge({ env: bad })
      assert.deepStrictEqual(yield* edge.exit, { code: EXIT_CONFIG, signal: null })
      for (const [name, value] of Object.entries(bad)) {
        const line = edge
          .errorText()
          .split("\n")
          .find((line) => line.includes(name))
        assert.include(line, value, name)
        assert.include(line, "allowed", name)
      }
      assert.lengthOf(edge.logs, 0)
      assert.lengthOf(edge.entries, 0)
    })
  )

  it.live("warns of a variable that it does not know, with the nearest one", () =>
    Effect.gen(function* () {
      const edge = yield* startEdge({ env: { EDGEPROXY_REGOIN: "eu" } })
      const line = yield* edge.log(({ level, message }) => level === "warn" && message.includes("EDGEPROXY_REGOIN"))
      assert.include(line.message, "EDGEPROXY_REGION")
    })
  )

  it.live.skipIf(process.platform !== "linux")("takes clients before it is loaded, and serves them then", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const directory = yield* scratch
      const database = join(directory, "routing.db")
      createDatabase(database, [rowOf("a", server)])
      // It reads its configuration only when somebody writes this.
      const token = join(directory, "token")
      execFileSync("mkfifo", [token])
      const address = { address: "127.0.0.1", port: yield* outsiders.port }
      const edge = yield* spawnEdge({
        env: {
          DB_PATH: database,
          LISTEN_ADDR: `${address.address}:${address.port}`,
          API_LISTEN_ADDR: "127.0.0.1:0",
          API_TOKEN_FILE: token
        }
      })
      const early = yield* connect(address).pipe(Effect.retry({ schedule: Schedule.spaced(5), times: 2_000 }))
      assert.lengthOf(edge.logs, 0)
      // Of a rotation of logs, which are not open yet.
      edge.signal("SIGHUP")
      yield* Effect.promise(() => writeFile(token, "0123456789abcdef0123456789abcdef"))
      yield* early.awaitText("a\n")
      assert.strictEqual((yield* edge.log("listening")).level, "info")
      assert.isUndefined(edge.logs.find(({ message }) => message.includes("no listener is configured")))
    })
  )

  it.live("a port that is in use ends it with 1 and the address", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const taken = `127.0.0.1:${endpoint.port}`
      const edge = yield* spawnEdge({ env: { API_LISTEN_ADDR: "127.0.0.1:0", LISTEN_ADDR: `127.0.0.1:0,${taken}` } })
      assert.deepStrictEqual(yield* edge.exit, { code: 1, signal: null })
      const last = edge.logs.at(-1)
      assert.strictEqual(last?.level, "fatal")
      assert.include(last?.message, taken)
      assert.include(last?.message, "in use")
    })
  )

  it.live("a part of the program that is gone ends it with 1 and the file", () =>
    Effect.gen(function* () {
      const directory = join(yield* scratch, "dist")
      const filter = (path: string) => !/\/api-[^/]+\.js$/.test(path)
      yield* Effect.promise(() => cp(bundleDirectory, directory, { recursive: true, filter }))
      const edge = yield* spawnEdge({
        bundle: join(directory, "edgeproxy.js"),
        env: { LISTEN_ADDR: "127.0.0.1:0", API_LISTEN_ADDR: "127.0.0.1:0" }
      })
      assert.deepStrictEqual(yield* edge.exit, { code: 1, signal: null })
      assert.match((yield* edge.log(({ level }) => level === "fatal")).message, /chunks\/api-/)
    })
  )

  it.live("an address that is not this host's ends it with 1", () =>
    Effect.gen(function* () {
      // Reserved for documentation; binding sends nothing.
      const edge = yield* spawnEdge({ env: { API_LISTEN_ADDR: "127.0.0.1:0", LISTEN_ADDR: "192.0.2.1:0" } })
      assert.strictEqual((yield* edge.exit).code, 1)
      assert.include(edge.logs.at(-1)?.message, "192.0.2.1")
    })
  )

  it.live.each(brokenDatabases)("a geo database that is %s ends it with 64 and the path", ([, make]) =>
    Effect.gen(function* () {
      const path = join(yield* scratch, "geo.mmdb")
      make(path)
      const edge = yield* spawnEdge({ env: { LISTEN_ADDR: "127.0.0.1:0", GEOIP_PATH: path } })
      assert.deepStrictEqual(yield* edge.exit, { code: EXIT_CONFIG, signal: null })
      const last = edge.logs.at(-1)
      assert.strictEqual(last?.level, "fatal")
      assert.include(last?.message, path)
    })
  )

  it.live("an access log that can't be written ends it with 64 and the path", () =>
    Effect.gen(function* () {
      const path = join(yield* scratch, "missing", "access.log")
      const edge = yield* spawnEdge({ env: { LISTEN_ADDR: "127.0.0.1:0", ACCESS_LOG: path } })
      assert.deepStrictEqual(yield* edge.exit, { code: EXIT_CONFIG, signal: null })
      assert.include(edge.logs.at(-1)?.message, path)
    })
  )
})
