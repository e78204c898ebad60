import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../bench/freePort.ts"
import { ask } from "../support/corrosion/talk.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { fake, schemaDirectory } from "./rig.ts"

/** An agent, fake or real, that keeps its data when it is started again. */
export interface ClusterAgent {
  readonly url: string
  /** In order, or as after a power cut; done when it answers again. */
  readonly restart: (how: "in order" | "crash") => Effect.Effect<void>
}

/** Agents that know each other. */
export interface Cluster {
  readonly name: string
  /** Why it can't be had here. */
  readonly missing: string | undefined
  readonly start: (count: number) => Effect.Effect<ReadonlyArray<ClusterAgent>, never, Scope.Scope>
}

export const fakes: Cluster = {
  name: "a fake agent",
  missing: undefined,
  start: Effect.fnUntraced(function* (count) {
    const agents = yield* Effect.all(Array.from({ length: count }, () => fake()))
    for (const agent of agents) {
      for (const peer of agents) if (peer !== agent) yield* agent.control({ do: "link", peer: peer.url })
    }
    return agents.map(({ control, url }) => ({
      url,
      restart: (how) => control({ do: "restart", crash: how === "crash" })
    }))
  })
}

interface Ports {
  readonly api: number
  readonly gossip: number
}

const configOf = (directory: string, { api, gossip }: Ports, all: ReadonlyArray<Ports>): string => `[db]
path = "${directory}/state.db"
schema_paths = ["${schemaDirectory}"]
cache_size_kib = -65536

[gossip]
addr = "127.0.0.1:${gossip}"
client_addr = "127.0.0.1:0"
bootstrap = [${all.flatMap((peer) => (peer.gossip === gossip ? [] : `"127.0.0.1:${peer.gossip}"`)).join(", ")}]
plaintext = true

[api]
addr = "127.0.0.1:${api}"

[admin]
path = "${directory}/admin.sock"

[log]
colors = false
`

const kill = async (child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, "exit")
  child.kill(signal)
  await closed
}

const START_MS = 30_000

/** Answers, and has its schema. */
const answers = (url: string): Effect.Effect<void> =>
  ask(`${url}/v1/queries`, { json: "SELECT id FROM backends LIMIT 0" }).pipe(
    Effect.filterOrFail(
      ({ body, status }) => status === 200 && body.includes("eoq"),
      ({ body, status }) => new Error(`HTTP ${status}: ${body}`)
    ),
    Effect.catchDefect(Effect.fail),
    Effect.delay(100),
    Effect.eventually,
    Effect.timeoutOrElse({
      duration: START_MS,
      orElse: () => Effect.die(new Error(`no answer from ${url} within ${START_MS} ms`))
    }),
    Effect.asVoid
  )

/** Another place than the PATH. */
const program = process.env["CORROSION_BIN"] ?? "corrosion"

const realAgent = Effect.fnUntraced(function* (directory: string, url: string) {
  const run = (): ChildProcess =>
    // Its own settings may come from the environment, too.
    spawn(program, ["-c", join(directory, "config.toml"), "agent"], {
      stdio: "ignore",
      env: { PATH: process.env["PATH"], TMPDIR: directory, HOME: directory }
    })
  const running = yield* Effect.acquireRelease(
    Effect.sync(() => ({ child: run() })),
    (running) => Effect.promise(() => kill(running.child, "SIGKILL"))
  )
  yield* answers(url)
  const agent: ClusterAgent = {
    url,
    restart: Effect.fnUntraced(function* (how) {
      yield* Effect.promise(() => kill(running.child, how === "crash" ? "SIGKILL" : "SIGTERM"))
      running.child = run()
      yield* answers(url)
    })
  }
  return agent
})

const version = spawnSync(program, ["--version"], { encoding: "utf8" })

/** Corrosion itself, where it is installed. */
export const real: Cluster = {
  name: "a real agent",
  missing: version.error === undefined ? undefined : "corrosion is not on PATH, nor in CORROSION_BIN",
  start: Effect.fnUntraced(function* (count) {
    const directory = yield* tempDirectory
    const ports = yield* Effect.promise(() =>
      Promise.all(Array.from({ length: count }, async () => ({ api: await freePort(), gossip: await freePort() })))
    )
    return yield* Effect.forEach(
      ports,
      (each, index) => {
        const own = join(directory, `n${index + 1}`)
        mkdirSync(own)
        writeFileSync(join(own, "config.toml"), configOf(own, each, ports))
        return realAgent(own, `http://127.0.0.1:${each.api}`)
      },
      { concurrency: count }
    )
  })
}
