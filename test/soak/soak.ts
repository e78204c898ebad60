import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { chaosBackend } from "../chaos/chaosBackend.ts"
import { startWith } from "../e2e/setup.ts"
import { apiOf } from "../support/edgeApi.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { parse } from "../support/exposition.ts"
import { countFds } from "../support/fds.ts"
import { runSql } from "../support/routingDb.ts"
import { eventually } from "../support/Watch.ts"
import { wrapped } from "../support/wrapped.ts"
import { clients } from "./clients.ts"
import { exchange } from "./exchange.ts"
import * as Ledger from "./Ledger.ts"
import { sample, type Series } from "./samples.ts"
import { deaths, operators, reloads, tableChanges } from "./upheaval.ts"

export interface SoakOptions {
  readonly minutes: number
  readonly engine: "splice" | "node"
  /** Called now and then with how it goes. */
  readonly progress: (line: string) => void
}

export interface Soaked {
  readonly ledger: Ledger.Ledger
  readonly series: ReadonlyArray<Series>
  /** Where the trends begin: caches, bindings and the young heap have found their size. */
  readonly warmMs: number
  /** How much more there was at rest at the end than at the beginning, by what it is. */
  readonly left: ReadonlyMap<string, readonly [before: number, after: number]>
  /** What it has logged of errors that nothing called for. */
  readonly errors: ReadonlyArray<string>
}

const SAMPLE_MS = 5_000
const WARM_SHARE = 0.25
const WARM_MOST_MS = 5 * 60_000
const REST_MS = 30_000
const PROGRESS_MS = 60_000

const settings = {
  API_LISTEN_ADDR: "127.0.0.1:0",
  APP: "test",
  BINDING_GC_INTERVAL_SECS: "5",
  BINDING_TTL_SECS: "60",
  CIRCUIT_BREAKER_ENABLED: "true",
  CIRCUIT_TIMEOUT_SECS: "1",
  CONFIG_WATCH_ENABLED: "true",
  CONFIG_WATCH_INTERVAL_SECS: "1",
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_INTERVAL_SECS: "2",
  HEALTH_CHECK_TYPE: "http",
  HEARTBEAT_TTL_SECS: "20",
  METRICS_ENABLED: "true",
  METRICS_LISTEN_ADDR: "127.0.0.1:0",
  RATE_LIMIT_ENABLED: "true",
  RATE_LIMIT_BURST: "1000",
  SLOW_START_SECS: "2",
  TABLE_MAX_SHRINK: "1"
}

/** Collects all garbage at SIGWINCH: what is left in the heap then is what the program holds. */
const collector = `
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc")
process.on("SIGWINCH", () => collect())
`

/** Errors of a run in which backends are killed, settings are wrong, and a writer may be kept waiting with its lock. */
const expected = /^(backend down|circuit open|the configuration file is left aside|source lost.*database locked$)/

/** The program under everything at once for so long, then at rest. */
export const soak = ({ engine, minutes, progress }: SoakOptions) =>
  Effect.gen(function* () {
    const ledger = Ledger.make()
    const steady = yield* chaosBackend("steady")
    const mortals = yield* Effect.forEach(["a", "b", "c"], (name) => chaosBackend(name))
    const rows = [...mortals.map(({ row }) => row()), steady.row({ region: "eu", country: "DE" })]
    const directory = yield* scratch
    const [accessLog, file] = [join(directory, "access.log"), join(directory, "config.toml")]
    writeFileSync(file, "")
    const places = { ACCESS_LOG: accessLog, CONFIG_PATH: file }
    const edge = yield* startWith(
      rows,
      { ...settings, ...places, TRANSPORT: engine },
      { bundle: yield* wrapped(collector) }
    )
    const { url: api } = yield* apiOf(edge)
    const { address } = yield* edge.log("metrics endpoint")
    const metrics = `http://${String(address)}/metrics`

    const atRest = Effect.promise(async () => {
      const page = parse(await (await fetch(metrics)).text())
      return new Map([
        ["connections", page.sum("edgeproxy_connections_active")],
        ["fibers", page.sum("edgeproxy_fibers")],
        ["pipes", page.sum("edgeproxy_transport_pipes")],
        ["held bytes", page.sum("edgeproxy_transport_held_bytes")],
        ["file descriptors", countFds(edge.pid) ?? 0]
      ])
    })
    // What is made for the first connection stays.
    yield* exchange(edge.address, "127.3.0.1", { size: 100, times: 1, pauseMs: 0, end: "waits" }, 1)
    yield* Effect.sleep(2_000)
    const before = yield* atRest

    let over = false
    const stopped = (): boolean => over
    const series = yield* sample(edge, metrics, SAMPLE_MS)
    const work = yield* Effect.forkScoped(
      Effect.all(
        [
          clients(edge.address, ledger, stopped),
          deaths(mortals, ledger, stopped),
          tableChanges(edge, mortals, ledger, stopped),
          reloads(file, ledger, stopped),
          operators(edge, api, metrics, accessLog, mortals, { ledger, stopped })
        ],
        { concurrency: "unbounded", discard: true }
      )
    )
    const startedAt = performance.now()
    const durationMs = minutes * 60_000
    while (performance.now() - startedAt < durationMs && work.pollUnsafe() === undefined) {
      yield* Effect.sleep(Math.min(PROGRESS_MS, durationMs))
      const now = series.map(({ name, points, unit }) => `${name} ${(points.at(-1)?.value ?? 0).toFixed(1)} ${unit}`)
      progress(
        `${((performance.now() - startedAt) / 60_000).toFixed(0)} min: ${now.join(", ")}; wrong ${ledger.wrongCount()}`
      )
    }
    const sampled = series.map((each) => ({ ...each, points: [...each.points] }))
    over = true
    yield* Fiber.join(work)

    const left = new Map<string, readonly [number, number]>()
    const rest = Effect.tap(atRest, (after) =>
      Effect.sync(() => {
        for (const [name, count] of after) left.set(name, [before.get(name) ?? 0, count])
      })
    )
    const restingAt = performance.now()
    runSql(edge.database, "DELETE FROM backends WHERE app <> 'test'")
    // The table is read, and HTTP connections are given up.
    while (performance.now() - restingAt < REST_MS) {
      yield* rest
      if ([...left.values()].every(([before, after]) => after <= before)) break
      yield* Effect.sleep(1_000)
    }
    edge.signal("SIGTERM")
    const exit = yield* edge.exit
    if (exit.code !== 0) ledger.wrong(`exit ${exit.code ?? exit.signal}`)
    yield* eventually("the last log line", () => edge.logs.at(-1) !== undefined)
    const errors = edge.logs.filter(({ level }) => level === "error" || level === "fatal").map(({ message }) => message)
    return {
      ledger,
      series: sampled,
      warmMs: Math.min(WARM_MOST_MS, durationMs * WARM_SHARE),
      left,
      errors: [...new Set(errors.filter((message) => !expected.test(message))), ...lines(edge.errorText())]
    } satisfies Soaked
  }).pipe(Effect.scoped)

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")
