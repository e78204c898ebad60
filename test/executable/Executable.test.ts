import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import manifest from "../../package.json" with { type: "json" }
import { greeted } from "../e2e/setup.ts"
import { bundleDirectory, scratch, startEdge } from "../support/EdgeProcess.ts"
import * as outsiders from "../support/outsiders.ts"
import { createDatabase, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"

const hasBuilder = Number(process.versions.node.split(".")[0]) >= 26

describe.skipIf(process.platform !== "linux" || !hasBuilder)("the single executable", () => {
  it.live(
    "serves, hands over, and knows its commands, with nothing beside it",
    () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const executable = join(directory, "bin/edgeproxy")
        execFileSync(process.execPath, ["executable.ts", bundleDirectory, executable], { stdio: "inherit" })
        const cache = join(directory, "cache")
        const places = { CACHE_DIRECTORY: cache, HOME: directory, PATH: "/nowhere" }
        const run = (...args: ReadonlyArray<string>) =>
          execFileSync(executable, args, { cwd: directory, encoding: "utf8", env: places })
        assert.include(run("--version"), manifest.version)
        assert.include(run("config"), "EDGEPROXY_LISTEN_ADDR")
        assert.deepStrictEqual(readdirSync(directory).toSorted(), ["bin", "cache"])
        // Beside what Node keeps of compiled code.
        const inCache = () => readdirSync(cache).filter((name) => !name.endsWith("-code"))
        const [unpacked = ""] = inCache()
        const nowhere = { CACHE_DIRECTORY: "/dev/null/a", HOME: "/dev/null/b", TMPDIR: "/dev/null/c" }
        const { status, stderr } = spawnSync(executable, ["--version"], { encoding: "utf8", env: nowhere })
        assert.strictEqual(status, 1)
        assert.match(stderr, /no place to unpack to.*\/dev\/null\/a.*\/dev\/null\/b.*\/dev\/null\/c/s)

        const server = yield* serve({ onPeer: greet("a") })
        const database = join(directory, "routing.db")
        createDatabase(database, [rowOf("a", server)])
        const edge = yield* startEdge({
          executable,
          through: ["env", `CACHE_DIRECTORY=${cache}`],
          env: { DB_PATH: database, TRANSPORT: "splice", LISTEN_ADDR: `127.0.0.1:${yield* outsiders.port}` }
        })
        yield* edge.log("API endpoint")
        assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "a")
        const geo = yield* edge.log("geo database")
        assert.strictEqual(geo["path"], join(cache, unpacked, "geolite2-country.mmdb"))
        // Its code is in the file: what is unpacked is for Node and the system alone.
        assert.deepStrictEqual(readdirSync(join(cache, unpacked, "chunks")).toSorted(), [
          "data-plane.js",
          "node-engine.js"
        ])

        edge.signal("SIGUSR2")
        const { pid } = yield* edge.log("handed over")
        yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(Number(pid), "SIGKILL")))
        yield* edge.log("drained")
        assert.strictEqual(readFileSync(`/proc/${Number(pid)}/cmdline`, "utf8"), `${executable}\0`)
        assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "a")
        assert.deepStrictEqual(inCache(), [unpacked])
      }),
    90_000
  )
})
