import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { contestsOf, type Reading } from "./Comparison.ts"
import { kinds } from "./kinds.ts"
import { type BenchOptions, type Findings, skipped } from "./Measure.ts"
import { lacking, type ToolName } from "./packages.ts"
import * as procfs from "./procfs.ts"
import { type Proxy, startProxy } from "./Proxy.ts"
import { hasMetrics, whileScraped } from "./scrape.ts"
import { turned } from "./statistics.ts"
import type { Done } from "./tool.ts"

/** Work that has gone through a proxy, and what it has cost the proxy in processor milliseconds. */
export interface Sample extends Done {
  readonly cpuMs: number
  /** What of it was not spent in the kernel; coarse. */
  readonly userMs: number
}

/** Work through every proxy, and what is read off it. */
export interface Workload {
  readonly what: string
  readonly through: (port: number, proxy: string) => Effect.Effect<Done>
  readonly readings: ReadonlyArray<Reading<Sample>>
}

/** Backends, and what is to be done through the proxies before them. */
export interface Stage {
  /** A port for each proxy, so that none uses up the ports of another. */
  readonly targets: ReadonlyArray<number>
  /** Compilers and heap of a Node program need some work before they are at rest. */
  readonly warmUps: ReadonlyArray<Workload["through"]>
  readonly workloads: ReadonlyArray<Workload>
  readonly rounds: number
}

// Closing and logging go on for a moment after the last byte; the log gathers lines for some time.
const SETTLE_MS = 100

const failed = { pieces: Number.NaN, ms: Number.NaN }

/** A failure, too, costs what it costs, but has no figures. */
const sampleOf = Effect.fnUntraced(function* (proxy: Proxy, { through, what }: Workload, failures: Array<string>) {
  const { metrics, name, pid, port } = proxy
  const before = { cpu: procfs.cpuMs(pid), user: procfs.userMs(pid) }
  const done = yield* whileScraped(metrics, through(port, name)).pipe(
    Effect.catchDefect((defect) => Effect.sync(() => (failures.push(`${name}, ${what}: ${String(defect)}`), failed)))
  )
  yield* Effect.sleep(SETTLE_MS)
  return { ...done, cpuMs: procfs.cpuMs(pid) - before.cpu, userMs: procfs.userMs(pid) - before.user } satisfies Sample
})

/** Which engines have run, and whether metrics were read. */
const notesOf = (proxies: ReadonlyArray<Proxy>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.forEach(
    proxies.filter(({ metrics }) => metrics !== undefined),
    Effect.fnUntraced(function* ({ engine, metrics = "", name }: Proxy) {
      const read = (yield* hasMetrics(metrics)) ? "metrics read once a second" : "no metrics to read"
      return `${name} ran with engine ${engine() ?? "unknown"}, ${read}`
    })
  )

/** All proxies run side by side; in each round each does each piece of work once, in turning order. */
export const compare = (
  needs: ReadonlyArray<ToolName>,
  stageFor: (proxies: number, options: BenchOptions) => Effect.Effect<Stage, never, Scope.Scope>,
  kindsOf: typeof kinds = kinds
) =>
  Effect.fnUntraced(function* (options: BenchOptions) {
    const lack = lacking(needs)
    if (lack !== undefined) return { rows: [skipped("all", lack)] } satisfies Findings
    const { missing, present } = kindsOf(options)
    const { rounds, targets, warmUps, workloads } = yield* stageFor(present.length, options)
    const proxies = yield* Effect.forEach(present, (kind, i) => startProxy(kind, targets[i] ?? 0, options.user))
    const comparisons = workloads.map((workload) => ({
      ...workload,
      samples: new Map(proxies.map(({ name }): [string, Array<Sample>] => [name, []]))
    }))
    const failures: Array<string> = []
    for (const warmUp of warmUps) for (const { name, port } of proxies) yield* warmUp(port, name)
    for (let round = 0; round < rounds; round++) {
      for (const comparison of comparisons) {
        for (const proxy of turned(proxies, round)) {
          comparison.samples.get(proxy.name)?.push(yield* sampleOf(proxy, comparison, failures))
        }
      }
    }
    const notes = [...missing, ...(yield* notesOf(proxies))]
    return { rows: [], contests: comparisons.flatMap(contestsOf), notes, failures } satisfies Findings
  })

interface Piece {
  readonly name: string
  readonly unit: "us" | "s"
  /** How many pieces make one of these. */
  readonly size?: number
  readonly goal?: number
  readonly panel?: string | undefined
}

/** Processor time of the proxy for each piece, and what of it was its own code. */
export const processorPer = ({ goal, name, panel, size = 1, unit }: Piece): ReadonlyArray<Reading<Sample>> => {
  const scale = (unit === "us" ? 1_000 : 0.001) * size
  return [
    {
      name: `processor ${name}`,
      unit,
      better: "lower",
      of: ({ cpuMs, pieces }) => (cpuMs * scale) / pieces,
      goal,
      panel
    },
    { name: `of it user`, unit, better: "lower", of: ({ pieces, userMs }) => (userMs * scale) / pieces }
  ]
}
