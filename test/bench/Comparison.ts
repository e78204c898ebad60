import { figure, type Row } from "./Measure.ts"
import { EDGE, HAPROXY, PIPE } from "./proxies.ts"
import { median, medianRatio } from "./statistics.ts"

/** The same work through several proxies, round by round. */
export interface Comparison {
  readonly what: string
  readonly name: string
  readonly unit: string
  /** Proxy -> its figure of each round; what is in one place was measured in the same round. */
  readonly samples: Map<string, Array<number>>
  /** Further figures, not compared: proxy -> one of each round. */
  readonly rates?: { readonly unit: string; readonly samples: Map<string, Array<number>> }
}

/** A row for each proxy: the median, and its ratio to the bare pipe and to HAProxy. edgeProxy is to be no worse than the pipe. */
export const rowsOf = ({ name, rates, samples, unit, what }: Comparison): ReadonlyArray<Row> =>
  Array.from(samples, ([proxy, values]): Row => {
    const ratioTo = (other: string): number => medianRatio(values, samples.get(other) ?? [])
    const rate = rates?.samples.get(proxy)
    const figures = [
      figure(name, median(values), unit),
      ...[PIPE, HAPROXY]
        .filter((other) => other !== proxy && samples.has(other))
        .map((other) => figure(`to ${other}`, ratioTo(other), "x")),
      ...(rate === undefined || rates === undefined ? [] : [figure("rate", median(rate), rates.unit)])
    ]
    const row = { what: `${what}: ${proxy}`, figures }
    return proxy === EDGE ? { ...row, goal: { text: `<= 1x ${PIPE}`, met: ratioTo(PIPE) <= 1 } } : row
  })

/** Adds a figure to those of a proxy. */
export const note = (samples: Map<string, Array<number>>, proxy: string, value: number): void => {
  const known = samples.get(proxy)
  if (known === undefined) samples.set(proxy, [value])
  else known.push(value)
}
