import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import * as SnapshotFile from "../../layers/snapshot/SnapshotFile.ts"
import * as SqliteSource from "../../layers/sqlite/SqliteSource.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { BackendSource } from "../../src/routing/BackendSource.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { createDatabase, type Row as TableRow, runSql } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { type Pauses, watchLoop } from "./LoopWatch.ts"
import { figure, type Measure, type Row } from "./Measure.ts"
import { median } from "./statistics.ts"

const ROWS = 100_000
const ROUNDS = 3
// Looked at so often that waiting for the look is no part of the figures.
const LOOK_MS = 10
const LOOKS = 300

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

/** What the measure sees of the layers, and how it holds them. */
interface Seen {
  /** Looks that found nothing new. */
  looks: number
  /** Closed, it keeps the source from its next look; who stands before it says so. */
  readonly gate: Latch.Latch
  waiting: Deferred.Deferred<void>
  /** The table is on the disk. */
  saved: Deferred.Deferred<void>
}

/** The real source, table and store, watched from between. */
const stack = (path: string, seen: Seen) => {
  const store = Layer.effect(
    TableSnapshotStore,
    Effect.map(TableSnapshotStore, ({ load, save }) => ({
      load,
      save: (table) => Effect.tap(save(table), () => Deferred.succeed(seen.saved, undefined))
    }))
  ).pipe(Layer.provide(SnapshotFile.layer(`${path}.snapshot`)))
  const atGate = Effect.suspend(() => {
    seen.looks++
    return seen.gate.isOpen() ? Effect.void : Effect.andThen(Deferred.succeed(seen.waiting, undefined), seen.gate.await)
  })
  const source = Layer.effect(
    BackendSource,
    Effect.map(BackendSource, ({ events, name }) => ({
      name,
      events: Stream.tap(events, (event) => (event._tag === "Unchanged" ? atGate : Effect.void))
    }))
  ).pipe(Layer.provide(SqliteSource.layer({ path, reloadMs: LOOK_MS })), Layer.provide(store))
  return RoutingTable.layer({ maxShrink: 1, holdMs: 60_000 }).pipe(
    Layer.provide([source, store]),
    Layer.provideMerge(Upstreams.layer({ spillAt: "hard" })),
    Layer.provide(Supervisor.layer)
  )
}

const changes = [
  ["one row changed", "UPDATE backends SET weight = weight + 1 WHERE rowid = 50000"],
  ["every row changed", "UPDATE backends SET weight = 1 + weight % 4"]
] as const

type Phase = "first load" | "one row changed" | "every row changed"

interface Outcome extends Pauses {
  readonly phase: Phase
  readonly total: number
}

/** Does it and waits until the table is on the disk, watching the loop. */
const observed = <A, E, R>(phase: Phase, seen: Seen, outcomes: Array<Outcome>, work: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      // What the preparation left behind is not the reload's garbage.
      globalThis.gc?.()
      yield* Effect.yieldNow
      seen.saved = Deferred.makeUnsafe()
      const pauses = yield* watchLoop
      const before = performance.now()
      const result = yield* work
      yield* Deferred.await(seen.saved)
      outcomes.push({ phase, total: performance.now() - before, ...pauses() })
      return result
    })
  )

const oneRound = Effect.fnUntraced(function* (outcomes: Array<Outcome>) {
  const path = join(yield* tempDirectory, "routing.db")
  createDatabase(path, rows())
  const gate = yield* Latch.make(true)
  const seen: Seen = { looks: 0, gate, waiting: Deferred.makeUnsafe(), saved: Deferred.makeUnsafe() }
  const scope = yield* Effect.scope

  const build = Layer.buildWithScope(stack(path, seen), scope)
  const table = Context.get(yield* observed("first load", seen, outcomes, build), RoutingTable)
  if (table.status().backends !== ROWS) return yield* Effect.die(new Error("the table is not complete"))
  for (const [phase, sql] of changes) {
    seen.waiting = Deferred.makeUnsafe()
    yield* gate.close
    yield* Deferred.await(seen.waiting)
    runSql(path, sql)
    yield* observed(phase, seen, outcomes, gate.open)
  }
  return seen
})

/** Processor time of a look that finds nothing new, in microseconds. */
const unchangedLook = Effect.fnUntraced(function* (seen: Seen) {
  const before = process.cpuUsage()
  const from = seen.looks
  while (seen.looks < from + LOOKS) yield* Effect.sleep(LOOK_MS)
  const { system, user } = process.cpuUsage(before)
  return (user + system) / (seen.looks - from)
})

const rowOf = (phase: Phase, outcomes: ReadonlyArray<Outcome>): Row => {
  const of = (name: keyof Pauses | "total"): number =>
    median(outcomes.filter((outcome) => outcome.phase === phase).map((outcome) => outcome[name]))
  return {
    what: phase,
    figures: [
      figure("total", of("total"), "ms"),
      figure("longest loop delay", of("delay"), "ms"),
      figure("between turns", of("gap"), "ms"),
      figure("of it busy", of("busy"), "ms"),
      figure("longest GC", of("gc"), "ms")
    ],
    goal: { text: `pause < ${GOAL_MS} ms`, met: of("gap") < GOAL_MS }
  }
}

const run = Effect.gen(function* () {
  const outcomes: Array<Outcome> = []
  const looks: Array<number> = []
  for (let round = 0; round < ROUNDS; round++) {
    looks.push(yield* Effect.scoped(Effect.flatMap(oneRound(outcomes), unchangedLook)))
  }
  const phases: ReadonlyArray<Phase> = ["first load", "one row changed", "every row changed"]
  return [
    ...phases.map((phase) => rowOf(phase, outcomes)),
    { what: "a look that finds nothing new", figures: [figure("processor", median(looks), "us")] }
  ]
}).pipe(Effect.provide(Logger.layer([])))

/** What a table of 100,000 backends costs the event loop (T2). */
export const reload: Measure = {
  name: "reload",
  how:
    `${ROWS.toLocaleString("en")} rows of an SQLite file through source, table and snapshot on disk, in-process; total: until the snapshot is on disk; ` +
    `medians of ${ROUNDS} rounds; turns of the loop are watched by setImmediate, which takes part in every turn`,
  run: () => run
}
