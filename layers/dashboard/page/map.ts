import world from "edgeproxy:world"
import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { attribute, byId, keyed, setText, svg, textRow } from "./dom.ts"
import { country, number, regions } from "./format.ts"

/** The country whose place stands for a region: where most of its backends tend to be. */
const anchors: Readonly<Record<string, string>> = { sa: "BR", us: "US", eu: "DE", ap: "SG" }

/** Flows that are drawn as lines: more would be a carpet. */
const MOST_LINES = 60

/** One that has gone quiet stays for so long. */
const LINGER_MS = 10_000

interface Flow {
  readonly key: string
  readonly country: string
  readonly region: string
  readonly open: number
  readonly rate: number
}

interface Seen {
  readonly at: number
  readonly begun: number
  readonly rate: number
  readonly activeAt: number
}

type Place = readonly [x: number, y: number]

const placeOf = (code: string): Place | undefined => world.places[code]

const anchorOf = (region: string): Place | undefined => placeOf(anchors[region] ?? "")

const weightOf = ({ open, rate }: Flow): number => open + rate

/** A bow that leaves room for what goes the other way. */
const bow = ([fromX, fromY]: Place, [toX, toY]: Place): string => {
  const [byX, byY] = [toX - fromX, toY - fromY]
  const lift = Math.min(160, Math.hypot(byX, byY) * 0.22)
  const [midX, midY] = [fromX + byX / 2, fromY + byY / 2 - lift]
  return `M${fromX},${fromY}Q${Math.round(midX)},${Math.round(midY)} ${toX},${toY}`
}

/** New connections per second of each flow, from the counts of two messages. */
const makeRates = () => {
  let seen = new Map<string, Seen>()
  let view: LiveView | undefined
  return (next: LiveView): ReadonlyArray<Flow> => {
    // Another stream counts from another beginning.
    if (view !== next) seen = new Map()
    view = next
    const flows: Array<Flow> = []
    for (const [key, [open, begun]] of next.flows) {
      const before = seen.get(key)
      const seconds = before === undefined ? 0 : (next.at - before.at) / 1_000
      // Messages between two whole ones tell of no flows.
      const stale = before !== undefined && before.begun === begun && seconds < 0.9
      const rate =
        before === undefined ? 0 : stale ? before.rate : seconds > 0 ? Math.max(0, (begun - before.begun) / seconds) : 0
      const activeAt = open > 0 || rate > 0 ? next.at : (before?.activeAt ?? 0)
      seen.set(key, stale ? { ...before, activeAt } : { at: next.at, begun, rate, activeAt })
      if (next.at - activeAt > LINGER_MS) continue
      const [country = "?", region = "?"] = key.split(" ")
      flows.push({ key, country, region, open, rate: Math.round(rate * 10) / 10 })
    }
    return flows.toSorted((a, b) => weightOf(b) - weightOf(a))
  }
}

const drawLine = ({ country, region }: Flow) => {
  const [from, to] = [placeOf(country), anchorOf(region)]
  const path = from === undefined || to === undefined ? "" : bow(from, to)
  const line = svg("path", { class: "line", d: path })
  const pulse = svg("path", { class: "pulse", d: path, pathLength: 100 })
  const dot = svg("circle", { class: "client", cx: from?.[0], cy: from?.[1], r: 0 })
  return {
    element: svg("g", {}, line, pulse, dot),
    update: (flow: Flow): void => {
      const width = 1 + Math.min(5, Math.log2(1 + weightOf(flow)) / 2)
      attribute(line, "stroke-width", width.toFixed(1))
      attribute(pulse, "stroke-width", width.toFixed(1))
      attribute(pulse, "class", flow.rate > 0 ? "pulse moving" : "pulse")
      attribute(dot, "r", (2 + width).toFixed(1))
    }
  }
}

interface RegionNode {
  readonly region: string
  readonly up: number
  readonly all: number
  readonly here: boolean
}

const drawRegion = ({ region }: RegionNode) => {
  const [x, y] = anchorOf(region) ?? [0, 0]
  const label = svg("text", { x, y: y + 7, "text-anchor": "middle" }, region)
  const count = svg("text", { class: "count", x, y: y + 52, "text-anchor": "middle" })
  const title = svg("title")
  const element = svg(
    "g",
    { class: "region" },
    title,
    svg("circle", { class: "halo", cx: x, cy: y, r: 34 }),
    svg("circle", { cx: x, cy: y, r: 25 }),
    label,
    count
  )
  return {
    element,
    update: ({ all, here, up }: RegionNode): void => {
      attribute(element, "data-tone", all === 0 ? "quiet" : up === 0 ? "bad" : up < all ? "warn" : "good")
      attribute(element, "class", here ? "region here" : "region")
      setText(count, all === 0 ? "" : `${up}/${all} up`)
      setText(title, `${regions[region] ?? region}: ${up} of ${all} backends up${here ? "; this POP is here" : ""}`)
    }
  }
}

const regionsOf = ({ backends, parts: { pop } }: LiveView): ReadonlyArray<RegionNode> => {
  const nodes = new Map(Object.keys(anchors).map((region) => [region, { up: 0, all: 0 }]))
  for (const [, , region, , , state] of backends.values()) {
    const node = nodes.get(region)
    if (node === undefined) continue
    node.all++
    if (state === "active" || state === "standby") node.up++
  }
  return Array.from(nodes, ([region, counts]) => ({ region, ...counts, here: pop?.region === region }))
}

export const drawMap = (): ((view: LiveView) => void) => {
  const land = new Map(
    Object.entries(world.outlines).map(([code, outline]) => [code, svg("path", { class: "country", d: outline })])
  )
  const lines = svg("g", { class: "lines" })
  const nodes = svg("g")
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${world.width} ${world.height}`, role: "img", "aria-label": "World map" },
    svg("g", {}, ...land.values()),
    lines,
    nodes
  )
  byId("world", HTMLElement).append(picture)
  const rates = makeRates()
  const updateLines = keyed(lines, ({ key }: Flow) => key, drawLine)
  const updateNodes = keyed(nodes, ({ region }: RegionNode) => region, drawRegion)
  const updateTable = keyed(
    byId("flows", HTMLElement),
    ({ key }: Flow) => key,
    textRow<Flow>([
      { text: (flow) => country(flow.country) },
      { text: ({ region }) => regions[region] ?? region },
      { number: true, text: ({ open }) => number(open) },
      { number: true, text: ({ rate }) => number(rate) }
    ])
  )
  const elsewhere = byId("elsewhere", HTMLElement)

  return (view) => {
    const flows = rates(view)
    const mapped = flows.filter(({ country }) => placeOf(country) !== undefined)
    updateLines(mapped.slice(0, MOST_LINES))
    updateNodes(regionsOf(view))
    updateTable(flows.slice(0, MOST_LINES))
    const byCountry = new Map<string, number>()
    for (const flow of mapped) byCountry.set(flow.country, (byCountry.get(flow.country) ?? 0) + weightOf(flow))
    const most = Math.max(1, ...byCountry.values())
    for (const [code, outline] of land) {
      const weight = byCountry.get(code)
      // Four shades: finer ones nobody can tell apart.
      attribute(outline, "data-shade", weight === undefined ? undefined : Math.ceil((weight / most) * 4))
    }
    const unknown = flows.filter((flow) => placeOf(flow.country) === undefined)
    const open = unknown.reduce((sum, flow) => sum + flow.open, 0)
    setText(elsewhere, unknown.length === 0 ? "" : `${number(open)} open from unknown places: they are not on the map.`)
    const top = mapped.slice(0, 3).map((flow) => `${country(flow.country)} to ${regions[flow.region] ?? flow.region}`)
    attribute(
      picture,
      "aria-label",
      `World map: clients from ${byCountry.size} countries${top.length > 0 ? `, most of them from ${top.join(", ")}` : ""}`
    )
  }
}
