import * as Effect from "effect/Effect"
import type { ClientKey } from "../../src/domain/Client.ts"
import * as BindingTable from "../../src/routing/BindingTable.ts"
import { type BenchOptions, figure, type Goal, type Measure } from "./Measure.ts"
import { median, quantile } from "./statistics.ts"

const ENTRIES = 1_000_000
const ROUNDS = 5
const QUICK_ROUNDS = 2
const APP = 0
// As the collector of the proxy does it.
const GC_SLICE = 2_000

/** Different addresses in no order: an odd factor permutes the 32-bit numbers. */
const keyOf = (index: number): ClientKey => ({ family: 4, hi: 0, lo: Math.imul(index, 0x9e3779b1) >>> 0 })

/** The longest pause that the table may make, in milliseconds. */
const GOAL_MS = 10

const pauseGoal = (longest: number): Goal => ({ text: `pause <= ${GOAL_MS} ms`, met: longest <= GOAL_MS })

interface Memory {
  readonly rss: number
  readonly accounted: number
}

const memory = (): Memory => {
  globalThis.gc?.()
  const { external, heapUsed, rss } = process.memoryUsage()
  return { rss, accounted: heapUsed + external }
}

/** Nanoseconds for each call of `work`. */
const perCall = (calls: number, work: (index: number) => void): number => {
  const before = performance.now()
  for (let i = 0; i < calls; i++) work(i)
  return ((performance.now() - before) * 1e6) / calls
}

/** The shortest time that each of many steps has ever taken: a step that is long in every round is long by itself. */
const makeLeast = (steps: number) => {
  const least = new Float64Array(steps).fill(Infinity)
  return {
    time: (index: number, step: () => void): void => {
      const before = performance.now()
      step()
      least[index] = Math.min(least[index] ?? Infinity, performance.now() - before)
    },
    longest: () => quantile(least, 1),
    median: () => median(least)
  }
}

const puts = makeLeast(ENTRIES)
const slices = makeLeast(ENTRIES / GC_SLICE)

const timePuts = (keys: ReadonlyArray<ClientKey>): void => {
  const table = BindingTable.make(ENTRIES)
  keys.forEach((key, index) => puts.time(index, () => table.put(key, APP, 1, 0)))
}

const measureRound = (keys: ReadonlyArray<ClientKey>, strangers: ReadonlyArray<ClientKey>) => {
  const before = memory()
  const table = BindingTable.make(ENTRIES)
  const put = perCall(keys.length, (i) => table.put(keys[i] ?? keyOf(0), APP, i & 1023, 0))
  const after = memory()
  let found = 0
  const find = perCall(
    keys.length,
    (i) => (found += table.find(keys[(i * 7919) % ENTRIES] ?? keyOf(0), APP) >= 0 ? 1 : 0)
  )
  const miss = perCall(keys.length, (i) => (found += table.find(strangers[i] ?? keyOf(0), APP) >= 0 ? 1 : 0))
  if (found !== ENTRIES || table.size() !== ENTRIES) throw new Error(`found ${found} of ${table.size()} bindings`)
  const touch = perCall(keys.length, (i) => table.touch((i * 7919) % ENTRIES, 1))
  const expireFrom = performance.now()
  for (let slice = 0; table.size() > 0; slice++) slices.time(slice, () => table.expire(1_000_000, 1_000, GC_SLICE))
  const expire = performance.now() - expireFrom
  timePuts(keys)
  return {
    put,
    find,
    miss,
    touch,
    rss: (after.rss - before.rss) / ENTRIES,
    accounted: (after.accounted - before.accounted) / ENTRIES,
    expire
  }
}

const run = Effect.fnUntraced(function* ({ quick }: BenchOptions) {
  const keys = Array.from({ length: ENTRIES }, (_, i) => keyOf(i))
  const strangers = Array.from({ length: ENTRIES }, (_, i) => keyOf(ENTRIES + i))
  const rounds: Array<ReturnType<typeof measureRound>> = []
  for (let round = 0; round < (quick ? QUICK_ROUNDS : ROUNDS); round++) {
    rounds.push(measureRound(keys, strangers))
    yield* Effect.yieldNow
  }
  type Name = keyof (typeof rounds)[number]
  const middle = (name: Name): number => median(rounds.map((round) => round[name]))
  return {
    rows: [
      {
        what: "memory of an entry",
        figures: [
          figure("heap and buffers", middle("accounted"), "B"),
          figure("RSS, first round", rounds[0]?.rss ?? 0, "B")
        ]
      },
      {
        what: "put",
        figures: [figure("mean", middle("put"), "ns"), figure("longest", puts.longest(), "ms")],
        goal: pauseGoal(puts.longest())
      },
      { what: "find, known", figures: [figure("mean", middle("find"), "ns")] },
      { what: "find, unknown", figures: [figure("mean", middle("miss"), "ns")] },
      { what: "touch", figures: [figure("mean", middle("touch"), "ns")] },
      {
        what: `expire all, ${GC_SLICE.toLocaleString("en")} a slice`,
        figures: [
          figure("all", middle("expire"), "ms"),
          figure("slice", slices.median(), "ms"),
          figure("longest slice", slices.longest(), "ms")
        ],
        goal: pauseGoal(slices.longest())
      }
    ]
  }
})

/** What a million client bindings cost (A3). */
export const bindings: Measure = {
  name: "bindings",
  how: `${ENTRIES.toLocaleString("en")} bindings in the table, keys in random order; medians of ${ROUNDS} rounds, ${QUICK_ROUNDS} when quick; the longest is of what each put and slice took in its best round`,
  run
}
