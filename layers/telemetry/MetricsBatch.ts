import type { Histogram, Labels, Plain, Sink } from "../../src/observe/Metric.ts"
import type { HistogramSeries, PlainSeries, Reading } from "./encode.ts"

/** Of one request: encoding them takes a millisecond or two. */
const POINTS = 500

/** Gathers a reading and hands it over in pieces, so that those of a large table are never all in memory as objects. */
export const make = (options: {
  readonly startedAtMs: number
  readonly nowMs: number
  /** To be done with the piece when it returns: its numbers go on moving. */
  readonly take: (piece: Reading) => void
}): Sink & { readonly finish: () => void } => {
  const { nowMs, startedAtMs, take } = options
  const plain = new Map<Plain, Array<PlainSeries[1][number]>>()
  const histograms = new Map<Histogram, Array<HistogramSeries[1][number]>>()
  let points = 0

  const finish = (): void => {
    if (points > 0) take({ startedAtMs, nowMs, plain, histograms })
    plain.clear()
    histograms.clear()
    points = 0
  }

  const add = <Metric, Point>(series: Map<Metric, Array<Point>>, metric: Metric, point: Point): void => {
    if (points >= POINTS) finish()
    points++
    const known = series.get(metric)
    if (known === undefined) series.set(metric, [point])
    else known.push(point)
  }

  return {
    sample: (metric: Plain, labels: Labels, value: number) => add(plain, metric, [labels, value] as const),
    histogram: (metric: Histogram, labels: Labels, cells: ArrayLike<number>) =>
      add(histograms, metric, [labels, cells] as const),
    finish
  }
}
