import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { start as startAgent } from "../support/corrosion/AgentProcess.ts"
import { postgresServer } from "../support/postgres.ts"
import { enterIsland } from "./island.ts"

const usage = `usage: npm run pops -- [options]

The topology of docker/compose.yaml without Docker: three POPs, nine backends, and a store that they share. Asserts what
docker/test-pops.mjs asserts, kills a backend of each region with -9, and asserts that nobody misses it.

  --store corrosion|postgres   corrosion (default): one agent beside each POP, a stand-in that follows its protocol;
                               postgres: one PostgreSQL server
  --keep                       stay up afterwards
`

const { values } = parseArgs({
  options: {
    store: { type: "string", default: "corrosion" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})
if (values.help || !["corrosion", "postgres"].includes(values.store)) {
  process.stdout.write(usage)
  process.exit(values.help ? 0 : 64)
}

const regions = ["sa", "us", "eu"] as const
const TOKEN = "only-for-this-test"

const popAddress = (index: number): string => `.0.${10 + index}`
const nodeAddress = (region: number, node: number): string => `.${region + 1}.${node}`
const nodes = regions.flatMap((region, at) =>
  [1, 2, 3].map((node) => ({ id: `${region}-node-${node}`, region, address: nodeAddress(at, node) }))
)

const island = enterIsland([...regions.map((_, index) => popAddress(index)), ".0.100", ...nodes.map((n) => n.address)])
const at = (address: string): string => island.prefix + address

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))

class PopsError extends Data.TaggedError("PopsError")<{ readonly message: string }> {}

interface Running {
  readonly child: ChildProcess
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
}

const directory = mkdtempSync(join(tmpdir(), "edgeproxy-pops-"))

/** A program of this repository; what it says goes to a file. It is ended with the scope. */
const run = (
  name: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const log = openSync(join(directory, `${name}.log`), "a")
      const child = spawn(process.execPath, args, {
        cwd: directory,
        env: { PATH: process.env["PATH"], ...env },
        stdio: ["ignore", log, log]
      })
      const kill = (signal: NodeJS.Signals): Effect.Effect<void> =>
        Effect.promise(async () => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const exit = once(child, "exit")
          child.kill(signal)
          await exit
        })
      return { child, kill }
    }),
    ({ kill }) => kill("SIGTERM")
  )

const schema = ["backends", "edgeproxy_backend_state"].flatMap((table) => [
  "--schema",
  path(`docker/corrosion/schema/${table}.sql`)
])

/** Settings with which each POP finds the shared store, once it has the nine rows. */
const corrosion = Effect.gen(function* () {
  const urls: Array<string> = []
  for (const _ of regions) {
    const agent = yield* startAgent([...schema, ...urls.flatMap((url) => ["--peer", url])])
    urls.push(agent.url)
  }
  const seed = yield* run("seed", [path("docker/seed.mjs"), rowsFile(), urls[0] ?? ""])
  yield* ended(seed, "seed")
  return urls.map((url) => ({ EDGEPROXY_CORROSION_ENABLED: "true", EDGEPROXY_CORROSION_API_URL: url }))
})

const postgres = Effect.gen(function* () {
  const server = yield* postgresServer()
  const database = yield* server.createDatabase
  for (const statement of rows().split(";")) if (statement.trim() !== "") yield* server.query(database, statement)
  return regions.map(() => ({ EDGEPROXY_POSTGRES_ENABLED: "true", EDGEPROXY_POSTGRES_URL: server.url(database) }))
})

/** docker/routing.sql, with the addresses that the nodes have here. */
const rows = (): string => readFileSync(path("docker/routing.sql"), "utf8").replaceAll("'10.10.", `'${island.prefix}.`)

const rowsFile = (): string => {
  const file = join(directory, "routing.sql")
  writeFileSync(file, rows())
  return file
}

const ended = ({ child }: Running, what: string): Effect.Effect<void, PopsError> =>
  Effect.flatMap(
    Effect.promise(async () => child.exitCode ?? ((await once(child, "exit"))[0] as number | null)),
    (code) => (code === 0 ? Effect.void : Effect.fail(new PopsError({ message: `${what} has ended with ${code}` })))
  )

const assertAll = (...args: ReadonlyArray<string>) =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      spawn(process.execPath, [path("docker/test-pops.mjs"), ...args], {
        env: { PATH: process.env["PATH"], POPS_PREFIX: island.prefix, POPS_TOKEN: TOKEN },
        stdio: "inherit"
      })
    ),
    (child) => ended({ child, kill: () => Effect.void }, "the assertions"),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const program = Effect.gen(function* () {
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
  yield* Console.log(`three POPs and nine backends on ${island.kind}, logs in ${directory}`)
  const stores = yield* values.store === "postgres" ? postgres : corrosion
  const backends = yield* Effect.forEach(nodes, ({ address, id, region }) =>
    run(id, [path("dist/mock-backend.js"), "--host", at(address), "--port", "8080", "--id", id, "--region", region])
  )
  for (const [index, region] of regions.entries()) {
    yield* run(`pop-${region}`, [path("dist/edgeproxy.js")], {
      ...stores[index],
      EDGEPROXY_REGION: region,
      EDGEPROXY_POP_ID: `pop-${region}`,
      EDGEPROXY_DB_PATH: join(directory, `${region}.db`),
      EDGEPROXY_LISTEN_ADDR: `${at(popAddress(index))}:8080`,
      EDGEPROXY_API_LISTEN_ADDR: `${at(popAddress(index))}:8081`,
      EDGEPROXY_API_TOKEN: TOKEN,
      EDGEPROXY_BACKEND_ALLOW_CIDRS: `${island.prefix}.0.0/16`,
      EDGEPROXY_HEALTH_CHECK_ENABLED: "true",
      EDGEPROXY_HEALTH_CHECK_INTERVAL_SECS: "1",
      EDGEPROXY_LOG_FORMAT: "logfmt"
    })
  }
  yield* assertAll()
  const lost = nodes.filter(({ id }) => id.endsWith("-1"))
  yield* Console.log(`kill -9 ${lost.map(({ id }) => id).join(" ")}`)
  for (const { id } of lost) yield* backends[nodes.findIndex((node) => node.id === id)]?.kill("SIGKILL") ?? Effect.void
  yield* assertAll("lost", ...lost.map(({ id }) => id))
  if (values.keep) {
    yield* Console.log("Ctrl-C ends it")
    return yield* Effect.never
  }
}).pipe(
  Effect.scoped,
  Effect.tapError(({ message }) => Console.error(message)),
  Effect.tapDefect((defect) => Console.error(defect))
)

NodeRuntime.runMain(program, { disableErrorReporting: true })
