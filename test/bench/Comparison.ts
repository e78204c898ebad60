import { figure, type Row } from "./Measure.ts"
import { EDGE, HAPROXY, PIPE } from "./proxies.ts"
import { median, medianRatio } from "./statistics.ts"

/** A figure that is read off what was sampled. */
export interface Reading<Sample> {
  readonly name: string
  readonly unit: string
  readonly of: (sample: Sample) => number
}

/** The same work through several proxies, round by round. */
export interface Comparison<Sample> {
  readonly what: string
  readonly compared: Reading<Sample>
  /** Further figures, only shown. */
  readonly shown?: ReadonlyArray<Reading<Sample>>
  /** Proxy -> one sample of each round. */
  readonly samples: ReadonlyMap<string, ReadonlyArray<Sample>>
}

/** A row for each proxy: the median, and its ratio to the bare pipe and to HAProxy. edgeProxy is to be no worse than the pipe. */
export const rowsOf = <Sample>({ compared, samples, shown = [], what }: Comparison<Sample>): ReadonlyArray<Row> => {
  const valuesOf = (proxy: string): ReadonlyArray<number> => (samples.get(proxy) ?? []).map(compared.of)
  return Array.from(samples, ([proxy, own]): Row => {
    const ratioTo = (other: string): number => medianRatio(valuesOf(proxy), valuesOf(other))
    const figures = [
      figure(compared.name, median(valuesOf(proxy)), compared.unit),
      ...[PIPE, HAPROXY]
        .filter((other) => other !== proxy && samples.has(other))
        .map((other) => figure(`to ${other}`, ratioTo(other), "x")),
      ...shown.map(({ name, of, unit }) => figure(name, median(own.map(of)), unit))
    ]
    const row = { what: `${what}: ${proxy}`, figures }
    return proxy === EDGE ? { ...row, goal: { text: `<= 1x ${PIPE}`, met: ratioTo(PIPE) <= 1 } } : row
  })
}
