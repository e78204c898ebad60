import type { Labels, Metric, Sink } from "../../src/observe/Metric.ts"
import { keyValues, nanos, type OtlpMetric } from "./encode.ts"

/** Of one request: encoding them takes a few milliseconds. */
const POINTS = 500

const CUMULATIVE = 2

const units: ReadonlyArray<readonly [suffix: RegExp, unit: string]> = [
  [/_seconds(_total)?$/, "s"],
  [/_bytes(_total)?$/, "By"]
]

const unitOf = (name: string): string => units.find(([suffix]) => suffix.test(name))?.[1] ?? "1"

type Gauge = NonNullable<OtlpMetric["gauge"]>["dataPoints"]
type Histogram = NonNullable<OtlpMetric["histogram"]>["dataPoints"]

interface Block {
  readonly metric: OtlpMetric
  readonly numbers: Gauge
  readonly histograms: Histogram
}

const blockOf = (metric: Metric): Block => {
  const numbers: Gauge = []
  const histograms: Histogram = []
  const described = { name: metric.name, description: metric.help, unit: unitOf(metric.name) }
  if (metric.type === "gauge") return { metric: { ...described, gauge: { dataPoints: numbers } }, numbers, histograms }
  const cumulative = { aggregationTemporality: CUMULATIVE } as const
  const kind =
    metric.type === "counter"
      ? { sum: { dataPoints: numbers, isMonotonic: true, ...cumulative } }
      : { histogram: { dataPoints: histograms, ...cumulative } }
  return { metric: { ...described, ...kind }, numbers, histograms }
}

/**
 * Turns a reading into the metrics of OTLP, and hands them over in pieces, so that those of a large table are never all in
 * memory as objects.
 */
export const make = (options: {
  readonly startedAtMs: number
  readonly nowMs: number
  readonly take: (metrics: Array<OtlpMetric>) => void
}): Sink & { readonly finish: () => void } => {
  const times = { startTimeUnixNano: nanos(options.startedAtMs), timeUnixNano: nanos(options.nowMs) }
  let blocks = new Map<Metric, Block>()
  let points = 0
  let lastLabels: Labels | undefined
  let attributes = keyValues({})

  const finish = (): void => {
    if (points > 0) options.take(Array.from(blocks.values(), ({ metric }) => metric))
    blocks = new Map()
    points = 0
  }

  const add = (metric: Metric, labels: Labels): Block => {
    if (points >= POINTS) finish()
    points++
    if (labels !== lastLabels) {
      lastLabels = labels
      attributes = keyValues(labels)
    }
    let block = blocks.get(metric)
    if (block === undefined) blocks.set(metric, (block = blockOf(metric)))
    return block
  }

  return {
    sample: (metric, labels, value) => {
      const { numbers } = add(metric, labels)
      numbers.push({ attributes, ...times, asDouble: value })
    },
    histogram: (metric, labels, cells) => {
      const { histograms } = add(metric, labels)
      const buckets = metric.bounds.length + 1
      const bucketCounts = Array.from({ length: buckets }, (_, index) => cells[index] ?? 0)
      histograms.push({
        attributes,
        ...times,
        bucketCounts,
        explicitBounds: Array.from(metric.bounds),
        count: bucketCounts.reduce((sum, count) => sum + count, 0),
        sum: cells[buckets] ?? 0
      })
    },
    finish
  }
}
