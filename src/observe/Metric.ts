import type * as Effect from "effect/Effect"
import type { Exemplars } from "./Exemplar.ts"

/** What the series of a metric have in common. Names and units follow Prometheus: base units, counters end in `_total`. */
interface Described {
  readonly name: string
  /** One sentence for who reads the metric. */
  readonly help: string
}

/** A counter starts at zero and never falls while its series exists; a gauge is what is now. */
export interface Plain extends Described {
  readonly type: "counter" | "gauge"
}

export interface Histogram extends Described {
  readonly type: "histogram"
  /** Upper bounds of the buckets, each inclusive, ascending; what is above the last counts too. */
  readonly bounds: ReadonlyArray<number>
}

/** A metric: all series of one name. */
export type Metric = Plain | Histogram

/** What tells the series of a metric apart. Never a client's address: the number of series has to stay bounded. */
export type Labels = Readonly<Record<string, string>>

export const noLabels: Labels = {}

export const counter = (name: string, help: string): Plain => ({ type: "counter", name, help })

export const gauge = (name: string, help: string): Plain => ({ type: "gauge", name, help })

export const histogram = (name: string, help: string, bounds: ReadonlyArray<number>): Histogram => ({
  type: "histogram",
  name,
  help,
  bounds
})

/**
 * Takes the values of a reading, in any order of metrics, each series once. A label set that is handed over as the same
 * object several times in a row is looked at once.
 */
export interface Sink {
  readonly sample: (metric: Plain, labels: Labels, value: number) => void
  /** `cells` as laid out by `observe`. `exemplars`: traces of some that were counted, for formats that have a place for them. */
  readonly histogram: (metric: Histogram, labels: Labels, cells: ArrayLike<number>, exemplars?: Exemplars) => void
}

/**
 * The metrics of one part of the program. Whatever happens often is counted in plain numbers where it happens, and only
 * read here, when somebody asks: an update of an Effect `Metric` costs as much as all counting for a connection together.
 */
export interface Collector {
  /** Brings up to date what is only counted now and then. All collectors do this before any is read. */
  readonly refresh?: Effect.Effect<void>
  readonly collect: (sink: Sink) => Effect.Effect<void>
}

/** Numbers a histogram needs: a bucket for each bound, one for what is above, and the sum. */
export const cellsOf = (bounds: ReadonlyArray<number>): number => bounds.length + 2

/** The bucket of a value: the first whose bound it does not pass, else the one above all. */
export const bucketOf = (bounds: ReadonlyArray<number>, value: number): number => {
  const buckets = bounds.length
  let bucket = 0
  while (bucket < buckets && value > (bounds[bucket] ?? Infinity)) bucket++
  return bucket
}

/** Counts a value into the cells that begin at `at`. */
export const observe = (cells: Float64Array, at: number, bounds: ReadonlyArray<number>, value: number): void => {
  const buckets = bounds.length
  const bucket = bucketOf(bounds, value)
  cells[at + bucket] = (cells[at + bucket] ?? 0) + 1
  cells[at + buckets + 1] = (cells[at + buckets + 1] ?? 0) + value
}
