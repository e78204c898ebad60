import * as Effect from "effect/Effect"
import type { ChildProcess } from "node:child_process"
import { createInterface } from "node:readline"
import { statSync } from "node:fs"
import { join } from "node:path"
import { createDatabase, type Row as TableRow, runSql } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import type { Pauses } from "./loopProbe.ts"
import { type BenchOptions, figure, type Measure, type Row } from "./Measure.ts"
import * as procfs from "./procfs.ts"
import { program } from "./Program.ts"
import { median } from "./statistics.ts"

const ROWS = 100_000
const ROUNDS = 4
const QUICK_ROUNDS = 1
// The shortest there is; waiting for the look is part of the totals.
const LOOK_SECS = 0.1
const LOOKING_MS = 2_000
const POLL_MS = 2
const PATIENCE = "20 seconds"

/** T2: the longest pause, in milliseconds. */
const GOAL_MS = 10

const regions = ["sa", "us", "eu", "ap"] as const
const countries = ["BR", "US", "DE", "JP"] as const

const rows = function* (): Generator<TableRow> {
  for (let i = 0; i < ROWS; i++) {
    const place = i % regions.length
    yield {
      id: `${regions[place]}-node-${i}`,
      app: `app-${i % 50}`,
      region: regions[place] ?? null,
      country: i % 8 < 4 ? (countries[place] ?? null) : null,
      wg_ip: `10.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`,
      port: 8_080,
      weight: 1 + (i % 4),
      soft_limit: 100,
      hard_limit: 150
    }
  }
}

const changes = {
  "one row changed": "UPDATE backends SET weight = weight + 1 WHERE rowid = 50000",
  "every row changed": "UPDATE backends SET weight = 1 + weight % 4"
} as const

type Phase = "first load, from listening on" | keyof typeof changes

interface Outcome extends Pauses {
  readonly phase: Phase
  /** Until the table is in use. */
  readonly used: number
  /** Until it is on the disk as well. */
  readonly stored: number
}

/** The program under the probe. */
interface Probed {
  readonly pid: number
  readonly send: (message: "start" | "stop") => void
  readonly pauses: Effect.Effect<Pauses>
  /** Tables it has published. */
  readonly published: () => number
  /** Changes with the stored table. */
  readonly storedVersion: () => number
}

const until = (done: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (!done()) yield* Effect.sleep(POLL_MS)
  }).pipe(
    Effect.timeoutOrElse({
      duration: PATIENCE,
      orElse: () => Effect.die(new Error(`no listener or no new table within ${PATIENCE}`))
    })
  )

/** How often the log has told of something. */
const counted = (child: ChildProcess): ((message: "listening" | "routing table") => number) => {
  const counts = { listening: 0, "routing table": 0 }
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (line.includes('"message":"routing table"')) counts["routing table"]++
      if (line.includes('"message":"listening"')) counts.listening++
    })
  }
  return (message) => counts[message]
}

const versionOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Starts the program on the database and returns as soon as it listens. */
const startProbed = Effect.fnUntraced(function* (file: string, directory: string, lookSecs: number) {
  const env = {
    ...process.env,
    EDGEPROXY_LISTEN_ADDR: "127.0.0.1:0",
    EDGEPROXY_API_LISTEN_ADDR: "127.0.0.1:0",
    EDGEPROXY_ACCESS_LOG: "off",
    EDGEPROXY_LOG_FORMAT: "json",
    EDGEPROXY_DB_RELOAD_SECS: String(lookSecs)
  }
  const probe = new URL("./loopProbe.ts", import.meta.url).href
  const child = yield* program(process.execPath, ["--import", probe, file], {
    cwd: directory,
    env,
    stdio: ["ignore", "ignore", "pipe", "ipc"]
  })
  const count = counted(child)
  yield* until(() => count("listening") > 0)
  return {
    pid: child.pid ?? 0,
    send: (message) => void child.send(message),
    pauses: Effect.callback((resume) => void child.once("message", (it) => resume(Effect.succeed(it as Pauses)))),
    published: () => count("routing table"),
    storedVersion: () => versionOf(join(directory, "routing.db.snapshot"))
  } satisfies Probed
})

const observe = Effect.fnUntraced(function* (probed: Probed, phase: Phase, work: () => void) {
  probed.send("start")
  const table = probed.published()
  const stored = probed.storedVersion()
  work()
  const before = performance.now()
  // Of the first table the log may have told before the port was found open.
  yield* until(() => probed.published() > (phase in changes ? table : 0))
  const used = performance.now() - before
  yield* until(() => probed.storedVersion() !== stored)
  const outcome = { phase, used, stored: performance.now() - before }
  probed.send("stop")
  return { ...outcome, ...(yield* probed.pauses) } satisfies Outcome
})

const oneRound = Effect.fnUntraced(function* (file: string) {
  const directory = yield* tempDirectory
  const path = join(directory, "routing.db")
  createDatabase(path, rows())
  const probed = yield* startProbed(file, directory, LOOK_SECS)
  const outcomes: Array<Outcome> = [yield* observe(probed, "first load, from listening on", () => undefined)]
  for (const [phase, sql] of Object.entries(changes) as ReadonlyArray<[keyof typeof changes, string]>) {
    outcomes.push(yield* observe(probed, phase, () => runSql(path, sql)))
  }
  return outcomes
}, Effect.scoped)

/** Processor time of a look that finds nothing new, in microseconds: of a process that looks often, less one that does not. */
const unchangedLook = Effect.fnUntraced(function* (file: string) {
  const busyMs = Effect.fnUntraced(function* (lookSecs: number) {
    const directory = yield* tempDirectory
    createDatabase(join(directory, "routing.db"), [{ id: "b", region: "sa", wg_ip: "127.0.0.1", port: 9 }])
    const probed = yield* startProbed(file, directory, lookSecs)
    yield* Effect.sleep(LOOKING_MS)
    const before = procfs.cpuMs(probed.pid)
    yield* Effect.sleep(LOOKING_MS)
    return procfs.cpuMs(probed.pid) - before
  }, Effect.scoped)
  const looks = LOOKING_MS / 1_000 / LOOK_SECS
  return (((yield* busyMs(LOOK_SECS)) - (yield* busyMs(3_600))) * 1_000) / looks
})

const rowOf = (phase: Phase, outcomes: ReadonlyArray<Outcome>): Row => {
  const all = (name: keyof Pauses | "used" | "stored"): ReadonlyArray<number> =>
    outcomes.filter((outcome) => outcome.phase === phase).map((outcome) => outcome[name])
  return {
    what: phase,
    figures: [
      figure("in use after", median(all("used")), "ms"),
      figure("stored after", median(all("stored")), "ms"),
      figure("longest between turns", median(all("gap")), "ms"),
      figure("in the best round", Math.min(...all("gap")), "ms"),
      figure("longest loop delay", median(all("delay")), "ms"),
      figure("longest GC", median(all("gc")), "ms")
    ],
    goal: { text: `pause < ${GOAL_MS} ms`, met: median(all("gap")) < GOAL_MS }
  }
}

const run = Effect.fnUntraced(function* ({ program: file, quick }: BenchOptions) {
  const outcomes: Array<Outcome> = []
  for (let round = 0; round < (quick ? QUICK_ROUNDS : ROUNDS); round++) outcomes.push(...(yield* oneRound(file)))
  const phases: ReadonlyArray<Phase> = ["first load, from listening on", "one row changed", "every row changed"]
  return {
    rows: [
      ...phases.map((phase) => rowOf(phase, outcomes)),
      { what: "a look that finds nothing new", figures: [figure("processor", yield* unchangedLook(file), "us")] }
    ]
  }
})

/** What a table of 100,000 backends costs the event loop (T2). */
export const reload: Measure = {
  name: "reload",
  how:
    `${ROWS.toLocaleString("en")} rows of an SQLite file, read by the program itself under a probe that takes part in every ` +
    `turn of its loop; it looks every ${LOOK_SECS} s, which is part of the times; medians of ${ROUNDS} rounds, ${QUICK_ROUNDS} when quick`,
  run
}
