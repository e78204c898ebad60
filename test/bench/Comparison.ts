import { EDGE } from "./edgeKinds.ts"
import type { Contest, Standing } from "./Measure.ts"
import { HAPROXY } from "./otherKinds.ts"
import { median, medianRatio } from "./statistics.ts"

/** A figure that is read off what was sampled. */
export interface Reading<Sample> {
  readonly name: string
  readonly unit: string
  readonly better: "lower" | "higher"
  readonly of: (sample: Sample) => number
  /** What edgeProxy is to reach, as a ratio to the best HAProxy. */
  readonly goal?: number | undefined
  readonly panel?: string | undefined
}

/** The same work through several proxies, round by round. */
export interface Comparison<Sample> {
  readonly what: string
  readonly readings: ReadonlyArray<Reading<Sample>>
  /** Proxy -> one sample of each round. */
  readonly samples: ReadonlyMap<string, ReadonlyArray<Sample>>
}

type Rounds = readonly [proxy: string, values: ReadonlyArray<number>]

/** The configuration of HAProxy that does best over the whole run: the best of each single round would be the luckiest. */
const bestHaproxy = (all: ReadonlyArray<Rounds>, better: "lower" | "higher"): ReadonlyArray<number> => {
  const order = better === "lower" ? 1 : -1
  const [best] = all
    .filter(([proxy]) => proxy.startsWith(HAPROXY))
    .toSorted(([, a], [, b]) => order * (median(a) - median(b)))
  return best?.[1] ?? []
}

const goalOf = <Sample>({ better, goal }: Reading<Sample>, edge: Standing | undefined): Pick<Contest, "goal"> => {
  if (goal === undefined || edge === undefined || Number.isNaN(edge.ratio)) return {}
  const met = better === "lower" ? edge.ratio <= goal : edge.ratio >= goal
  return { goal: { text: `${better === "lower" ? "<=" : ">="} ${goal}x`, met } }
}

/** A contest for each reading: medians, and ratios to HAProxy taken round by round. */
export const contestsOf = <Sample>({ readings, samples, what }: Comparison<Sample>): ReadonlyArray<Contest> =>
  readings.map((reading) => {
    const { better, name, panel, unit } = reading
    const all = Array.from(samples, ([proxy, own]): Rounds => [proxy, own.map(reading.of)])
    const rival = bestHaproxy(all, better)
    const standings = all.map(([proxy, rounds]): Standing => ({
      proxy,
      value: median(rounds),
      ratio: medianRatio(rounds, rival),
      rounds
    }))
    const edge = standings.find(({ proxy }) => proxy === EDGE)
    return {
      what: `${what}: ${name}`,
      unit,
      better,
      standings,
      ...goalOf(reading, edge),
      ...(panel === undefined ? {} : { panel })
    }
  })
