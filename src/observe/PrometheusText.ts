import type { Exemplar } from "./Exemplar.ts"
import { type Labels, type Metric, noLabels, type Sink } from "./Metric.ts"
import * as Utf8Chunks from "./Utf8Chunks.ts"

/** What a scrape is answered with. */
export interface Page {
  /** UTF-8, in pieces of at most 64 kB, so that no step of making or sending it is long. */
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly bytes: number
}

/**
 * `text`: Prometheus' own. `openmetrics`: OpenMetrics 1.0, which has exemplars; a counter's family is named without `_total`
 * there.
 */
export type Format = "text" | "openmetrics"

export const contentTypes: Readonly<Record<Format, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
}

export interface Rendering extends Sink {
  readonly finish: () => Page
}

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

export const escapeLabel = (text: string): string =>
  /[\\"\n]/.test(text) ? escapeHelp(text).replaceAll('"', '\\"') : text

export const formatValue = (value: number): string => {
  if (Number.isFinite(value)) return `${value}`
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf"
}

/** `backend="a",app="web"`. */
const labelText = (labels: Labels): string => {
  let text = ""
  for (const name in labels) text += `${text === "" ? "" : ","}${name}="${escapeLabel(labels[name] ?? "")}"`
  return text
}

const exemplarText = ({ atMs, traceId, value }: Exemplar): string =>
  ` # {trace_id="${traceId}"} ${formatValue(value)} ${(atMs / 1_000).toFixed(3)}`

const END = new TextEncoder().encode("# EOF\n")

/** The text of one metric so far. */
interface Block {
  readonly bounds: ReadonlyArray<string>
  readonly text: Utf8Chunks.Utf8Chunks
}

const startOf = (metric: Metric, format: Format, take: () => Uint8Array): Block => {
  const text = Utf8Chunks.make(take)
  const open = format === "openmetrics"
  const name = open && metric.type === "counter" ? metric.name.replace(/_total$/, "") : metric.name
  // Only there a quote is escaped as well.
  const help = open ? escapeHelp(metric.help).replaceAll('"', '\\"') : escapeHelp(metric.help)
  text.append(`# HELP ${name} ${help}\n# TYPE ${name} ${metric.type}\n`)
  return { bounds: metric.type === "histogram" ? metric.bounds.map(formatValue) : [], text }
}

/**
 * Renders a reading. The format wants all series of a metric in a row; the values come in the order that suits who has
 * them, so each metric gathers its own text. `take` gives room for long ones.
 */
export const make = (format: Format = "text", take: () => Uint8Array = Utf8Chunks.takeNew): Rendering => {
  const blocks = new Map<Metric, Block>()
  let lastLabels = noLabels
  let lastText = ""

  const tail = (exemplar: Exemplar | undefined): string =>
    exemplar === undefined || format === "text" ? "" : exemplarText(exemplar)

  const textOf = (labels: Labels): string => {
    if (labels !== lastLabels) {
      lastLabels = labels
      lastText = labelText(labels)
    }
    return lastText
  }

  const blockFor = (metric: Metric): Block => {
    let block = blocks.get(metric)
    if (block === undefined) blocks.set(metric, (block = startOf(metric, format, take)))
    return block
  }

  return {
    sample: (metric, labels, value) => {
      const block = blockFor(metric)
      const text = textOf(labels)
      block.text.append(`${metric.name}${text === "" ? "" : `{${text}}`} ${formatValue(value)}\n`)
    },
    histogram: (metric, labels, cells, exemplars) => {
      const block = blockFor(metric)
      const { name } = metric
      const text = textOf(labels)
      const others = text === "" ? "" : `${text},`
      const { bounds } = block
      let count = 0
      let lines = ""
      for (let bucket = 0; bucket < bounds.length; bucket++) {
        count += cells[bucket] ?? 0
        lines += `${name}_bucket{${others}le="${bounds[bucket]}"} ${count}${tail(exemplars?.[bucket])}\n`
      }
      count += cells[bounds.length] ?? 0
      const braces = text === "" ? "" : `{${text}}`
      lines += `${name}_bucket{${others}le="+Inf"} ${count}${tail(exemplars?.[bounds.length])}\n`
      lines += `${name}_sum${braces} ${formatValue(cells[bounds.length + 1] ?? 0)}\n${name}_count${braces} ${count}\n`
      block.text.append(lines)
    },
    finish: () => {
      const texts = Array.from(blocks.values()).flatMap(({ text }) => text.finish())
      const chunks = Utf8Chunks.coalesce(format === "openmetrics" ? [...texts, END] : texts)
      return { chunks, bytes: chunks.reduce((sum, { length }) => sum + length, 0) }
    }
  }
}
