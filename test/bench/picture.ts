import type { Contest, Measured, Standing } from "./Measure.ts"
import { EDGE } from "./edgeKinds.ts"
import { HAPROXY } from "./otherKinds.ts"
import { digits, type Machine } from "./report.ts"

/** The contests that are meant for it as bars, in columns; it brings its own background, a dark one for who prefers that. */

const COLUMNS = 3
const MARGIN = 24
const HEADER = 74
const PANEL = { width: 340, title: 46, gap: 22 }
const BAR = { left: 112, height: 13, step: 21, room: 118 }
const WIDTH = MARGIN * 2 + PANEL.width * COLUMNS + PANEL.gap * (COLUMNS - 1)

const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933 }
.head { font-size: 20px; font-weight: 600 } .title { font-size: 13.5px; font-weight: 600 } .soft { fill: #66727f; font-size: 11px }
.own { font-weight: 600 } .met { fill: #12805c; font-size: 11px } .missed { fill: #b4540a; font-size: 11px }
.card { fill: #fff; stroke: #d8dee4 } .edge { fill: #2f6fed } .node { fill: #a9c4fa } .rival { fill: #7d8996 } .other { fill: #c3cad1 }
@media (prefers-color-scheme: dark) {
text { fill: #e3e8ed } .soft { fill: #97a3af } .met { fill: #4fc79b } .missed { fill: #f0a35c }
.card { fill: #12171d; stroke: #2d353e } .edge { fill: #5b93ff } .node { fill: #33558f } .rival { fill: #8b97a4 } .other { fill: #4a545f }
}`

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

interface Look {
  readonly className?: string
  readonly anchor?: "end"
}

const label = (x: number, y: number, content: string, { anchor, className }: Look = {}): string => {
  const look = className === undefined ? "" : ` class="${className}"`
  return `<text x="${x}" y="${y}"${look}${anchor === undefined ? "" : ` text-anchor="${anchor}"`}>${escape(content)}</text>`
}

const classOf = (proxy: string): string => {
  if (proxy === EDGE) return "edge"
  if (proxy.startsWith(EDGE)) return "node"
  return proxy.startsWith(HAPROXY) ? "rival" : "other"
}

const bar = ({ proxy, ratio, value }: Standing, top: number, most: number, unit: string): string => {
  const length = Number.isFinite(value) ? Math.max(1, (value / most) * (PANEL.width - BAR.left - BAR.room)) : 0
  const figure = `${digits(value)} ${unit}`
  const baseline = top + BAR.height - 2
  const own = proxy === EDGE ? "own" : undefined
  return [
    label(BAR.left - 8, baseline, proxy, { anchor: "end", ...(own && { className: own }) }),
    `<rect class="${classOf(proxy)}" x="${BAR.left}" y="${top}" width="${length.toFixed(1)}" height="${BAR.height}" rx="2"/>`,
    label(BAR.left + length + 7, baseline, figure, own && { className: own }),
    Number.isFinite(ratio)
      ? label(PANEL.width, baseline, `${digits(ratio)}×`, { anchor: "end", className: "soft" })
      : ""
  ].join("")
}

const panel = ({ better, goal, panel: title = "", standings, unit }: Contest, x: number, y: number): string => {
  const most = Math.max(...standings.map(({ value }) => value).filter(Number.isFinite))
  const verdict =
    goal === undefined
      ? ""
      : label(PANEL.width, 30, `${goal.text.replace("x", "×")} HAProxy: ${goal.met ? "met" : "missed"}`, {
          anchor: "end",
          className: goal.met ? "met" : "missed"
        })
  return [
    `<g transform="translate(${x} ${y})">`,
    label(0, 13, title, { className: "title" }),
    label(0, 30, `${better} is better`, { className: "soft" }),
    verdict,
    ...standings.map((standing, i) => bar(standing, PANEL.title + i * BAR.step - 6, most, unit)),
    "</g>"
  ].join("")
}

export const picture = (results: ReadonlyArray<Measured>, machine: Machine): string => {
  const contests = results.flatMap(({ contests = [] }) => contests).filter((contest) => contest.panel !== undefined)
  const bars = Math.max(0, ...contests.map(({ standings }) => standings.length))
  const rowHeight = PANEL.title + bars * BAR.step + PANEL.gap
  const height = HEADER + MARGIN + Math.ceil(contests.length / COLUMNS) * rowHeight
  const panels = contests.map((contest, i) =>
    panel(
      contest,
      MARGIN + (i % COLUMNS) * (PANEL.width + PANEL.gap),
      HEADER + MARGIN / 2 + Math.floor(i / COLUMNS) * rowHeight
    )
  )
  const where = `${machine.cores} cores of ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}, ${machine.at.slice(0, 10)}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="edgeProxy measured beside HAProxy and nginx">
<style>${style}</style>
<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10"/>
${label(MARGIN, 38, "What a proxy costs", { className: "head" })}
${label(MARGIN, 58, `Medians, and ratios to the best HAProxy of the run; edgeProxy with its whole job, the others bare. ${where}`, { className: "soft" })}
${panels.join("\n")}
</svg>
`
}
