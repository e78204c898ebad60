import * as Effect from "effect/Effect"
import type { Collector, Labels } from "../../src/observe/Metric.ts"
import * as PrometheusText from "../../src/observe/PrometheusText.ts"

/** One line of a page. */
export interface Sample {
  readonly name: string
  readonly labels: Labels
  readonly value: number
}

/** The samples under one TYPE line. */
export interface Family {
  readonly type: string
  readonly help: string
  readonly samples: ReadonlyArray<Sample>
}

/** A page as a scraper understands it. */
export interface Exposition {
  readonly families: ReadonlyMap<string, Family>
  /** The value of a series; undefined when there is none. */
  readonly value: (name: string, labels?: Labels) => number | undefined
  /** The sum over all series of a name that have these labels. */
  readonly sum: (name: string, labels?: Labels) => number
  /** Every series by its whole text, without its value. */
  readonly series: ReadonlyMap<string, { readonly sample: Sample; readonly type: string }>
}

const unescape = (text: string): string => text.replaceAll(/\\(.)/gs, (_, next: string) => (next === "n" ? "\n" : next))

const valueOf = (text: string): number =>
  text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : text === "NaN" ? NaN : Number(text)

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$/s

const sampleOf = (line: string): Sample => {
  const [, name, labelText, value] = sampleLine.exec(line) ?? []
  if (name === undefined || value === undefined) throw new Error(`not a sample: ${JSON.stringify(line)}`)
  const pairs = (labelText ?? "").matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/gs)
  const labels = Object.fromEntries(Array.from(pairs, ([, key, text]) => [key, unescape(text ?? "")]))
  const number = valueOf(value)
  if (Number.isNaN(number) && value !== "NaN") throw new Error(`not a number: ${line}`)
  return { name, labels, value: number }
}

const has = (sample: Sample, labels: Labels): boolean =>
  Object.entries(labels).every(([name, value]) => sample.labels[name] === value)

/**
 * Takes a page apart, as strictly as the format allows: every series once, all series of a metric in a row after its HELP
 * and TYPE.
 */
export const parse = (text: string): Exposition => {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end")
  const families = new Map<string, Family & { readonly samples: Array<Sample> }>()
  const series = new Map<string, { readonly sample: Sample; readonly type: string }>()
  let help: readonly [name: string, text: string] | undefined
  let current: string | undefined
  for (const line of text.split("\n").slice(0, -1)) {
    const helpLine = /^# HELP (\S+) (.*)$/s.exec(line)
    const typeLine = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (helpLine?.[1] !== undefined) help = [helpLine[1], unescape(helpLine[2] ?? "")]
    else if (typeLine?.[1] !== undefined) {
      current = typeLine[1]
      if (help?.[0] !== current) throw new Error(`no HELP before TYPE of ${current}`)
      if (families.has(current)) throw new Error(`twice: ${current}`)
      families.set(current, { type: typeLine[2] ?? "", help: help[1], samples: [] })
    } else {
      const sample = sampleOf(line)
      const family = current === undefined ? undefined : families.get(current)
      const names = family?.type === "histogram" ? ["_bucket", "_sum", "_count"].map((end) => current + end) : [current]
      if (family === undefined || !names.includes(sample.name)) throw new Error(`out of place: ${line}`)
      const key = line.slice(0, line.lastIndexOf(" "))
      if (series.has(key)) throw new Error(`twice: ${key}`)
      series.set(key, { sample, type: family.type })
      family.samples.push(sample)
    }
  }
  const matching = (name: string, labels: Labels): ReadonlyArray<Sample> =>
    Array.from(series.values(), ({ sample }) => sample).filter((sample) => sample.name === name && has(sample, labels))
  return {
    families,
    series,
    value: (name, labels = {}) => {
      const found = matching(name, labels)
      if (found.length > 1) throw new Error(`${found.length} series of ${name}`)
      return found[0]?.value
    },
    sum: (name, labels = {}) => matching(name, labels).reduce((sum, { value }) => sum + value, 0)
  }
}

export const textOf = ({ chunks }: PrometheusText.Page): string => Buffer.concat(chunks).toString("utf8")

/** Reads collectors at once, without the sharing of `Metrics`. */
export const read = (collectors: ReadonlyArray<Collector>): Effect.Effect<Exposition> =>
  Effect.gen(function* () {
    const rendering = PrometheusText.make()
    for (const { refresh } of collectors) if (refresh !== undefined) yield* refresh
    for (const { collect } of collectors) yield* collect(rendering)
    return parse(textOf(rendering.finish()))
  })

/**
 * What no scraper may ever see: a counter, or a part of a histogram, that is lower than before while its series was there
 * all the time.
 */
export const fallen = (before: Exposition, after: Exposition): ReadonlyArray<string> =>
  Array.from(after.series).flatMap(([key, { sample, type }]) => {
    const old = before.series.get(key)?.sample.value
    return type !== "gauge" && old !== undefined && sample.value < old ? [`${key}: ${old} -> ${sample.value}`] : []
  })
