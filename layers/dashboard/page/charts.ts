import uPlot from "uplot"
import "uplot/dist/uPlot.min.css"
import type { Sample } from "../../../src/dashboard/LiveMessage.ts"
import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { attribute, byId, h, setText } from "./dom.ts"
import { bytes, hourAndMinute, number, timeOfDay } from "./format.ts"

interface Line {
  readonly label: string
  /** A custom property of the style sheet. */
  readonly color: string
  /** Its place in a sample. */
  readonly at: 1 | 2 | 3 | 4 | 5 | 6
}

interface Chart {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
  readonly format: (value: number) => string
}

const perSecond = (value: number): string => `${bytes(value)}/s`

const charts: ReadonlyArray<Chart> = [
  { title: "Connections", lines: [{ label: "open", color: "--line-1", at: 1 }], format: number },
  {
    title: "Bytes per second",
    lines: [
      { label: "to backends", color: "--line-2", at: 5 },
      { label: "from backends", color: "--line-1", at: 6 }
    ],
    format: perSecond
  },
  {
    title: "Clients per second",
    lines: [
      { label: "new", color: "--line-1", at: 2 },
      { label: "turned away", color: "--line-3", at: 4 }
    ],
    format: number
  }
]

const HEIGHT = 118

/** The shortest time shown, so that a page just opened does not stretch its first two points over everything. */
const SPAN_SECS = 120

/** Steps of the time axis, whose labels tell minutes. */
const MINUTES = [1, 2, 5, 10].map((minutes) => minutes * 60)

const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

const seconds = (sample: Sample): number => sample[0] / 1_000

const draw = ({ format, lines, title }: Chart, place: HTMLElement) => {
  const values = lines.map(({ color, label }) => {
    const value = h("b", {}, "–")
    return { value, element: h("span", { class: "key", "data-line": color }, h("i"), `${label} `, value) }
  })
  const time = h("span", { class: "note" })
  const canvas = h("div", { class: "plot", role: "img", "aria-label": title })
  place.append(
    h(
      "div",
      { class: "chart" },
      h("h3", {}, title),
      h("p", { class: "keys" }, ...values.map((v) => v.element), time),
      canvas
    )
  )
  let samples: ReadonlyArray<Sample> = []
  let plot: uPlot | undefined

  /** The values under the pointer, or the latest ones. */
  const tell = (index?: number | null): void => {
    const sample = samples[index ?? samples.length - 1]
    lines.forEach(({ at }, line) => {
      const figure = sample?.[at]
      const element = values[line]?.value
      if (element !== undefined) setText(element, figure === null || figure === undefined ? "–" : format(figure))
    })
    setText(time, index === undefined || index === null || sample === undefined ? "" : timeOfDay(sample[0]))
  }

  const dataOf = (): uPlot.AlignedData => [
    samples.map(seconds),
    ...lines.map(({ at }) => samples.map((sample) => sample[at]))
  ]

  const make = (): void => {
    plot?.destroy()
    const faint = colorOf("--chart-text")
    const font = "11px system-ui, sans-serif"
    plot = new uPlot(
      {
        width: Math.max(160, canvas.clientWidth),
        height: HEIGHT,
        padding: [6, 2, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: { time: true, range: (_, min, max) => [Math.min(min, max - SPAN_SECS), max] },
          y: { range: (_, __, max) => [0, Math.max(1, max * 1.12)] }
        },
        axes: [
          {
            stroke: faint,
            grid: { show: false },
            ticks: { show: false },
            font,
            space: 60,
            incrs: MINUTES,
            size: 22,
            values: (_, ticks) => ticks.map((tick) => hourAndMinute(tick * 1_000))
          },
          {
            stroke: faint,
            grid: { stroke: colorOf("--chart-grid"), width: 1 },
            ticks: { show: false },
            font,
            size: 58,
            space: 34,
            values: (_, ticks) => ticks.map(format)
          }
        ],
        series: [
          {},
          ...lines.map(({ color, label }, index) => ({
            label,
            stroke: colorOf(color),
            width: 1.75,
            points: { show: false },
            ...(index === 0 && lines.length === 1 ? { fill: colorOf("--line-1-fill") } : {})
          }))
        ],
        hooks: { setCursor: [({ cursor }) => tell(cursor.idx)] }
      },
      dataOf(),
      canvas
    )
  }

  return {
    make,
    update: (next: ReadonlyArray<Sample>): void => {
      samples = next
      if (plot === undefined) make()
      else plot.setData(dataOf())
      tell(plot?.cursor.idx)
      const latest = lines.map(({ label }, line) => `${label} ${values[line]?.value.textContent ?? ""}`)
      attribute(canvas, "aria-label", `${title}: ${latest.join(", ")}`)
    },
    resize: (): void => plot?.setSize({ width: Math.max(160, canvas.clientWidth), height: HEIGHT })
  }
}

export const drawCharts = (): ((view: LiveView) => void) => {
  const place = byId("charts", HTMLElement)
  const drawn = charts.map((chart) => draw(chart, place))
  new ResizeObserver(() => drawn.forEach(({ resize }) => resize())).observe(place)
  // Canvas knows nothing of style sheets: another theme is drawn anew.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(({ make }) => make()))
  return ({ samples }) => drawn.forEach(({ update }) => update(samples))
}
