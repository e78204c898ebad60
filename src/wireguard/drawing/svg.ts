import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Link, Mesh, MeshHost } from "../Mesh.ts"
import {
  type Card,
  CARD_WIDTH,
  HEADER_HEIGHT,
  type Layout,
  layoutOf,
  type Point,
  type PopMark,
  round
} from "./layout.ts"

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const escape = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? "")

const style = `
.mesh { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --card: #f6f8fa; --edge: #d1d9e0; --pop: #0969da; --backend: #1a7f37; --link: #59636e }
@media (prefers-color-scheme: dark) {
  .mesh { --ground: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --card: #151b23; --edge: #3d444d; --pop: #58a6ff; --backend: #3fb950; --link: #9198a1 }
}
.ground { fill: var(--ground) }
text { fill: var(--ink); font: 13px ui-sans-serif, system-ui, sans-serif }
.head { font-size: 17px; font-weight: 600 }
.name { font-weight: 600 }
.faint { fill: var(--faint); font-size: 12px }
.label { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round }
.card { fill: var(--card); stroke: var(--edge) }
.pop { fill: var(--pop); stroke: var(--ground); stroke-width: 2px }
.hub { fill: none; stroke: var(--pop); stroke-width: 2px }
.backend { fill: var(--backend); stroke: var(--ground) }
.link { fill: none; stroke: var(--link); stroke-width: 1.2px; opacity: 0.55 }
.backbone { stroke: var(--pop); stroke-width: 2px; opacity: 0.9 }
`

const about = ({ addresses, endpoint, name }: MeshHost): string =>
  [
    name,
    ...addresses.map(NetAddress.formatIp),
    endpoint === undefined ? "calls only" : `at ${Host.formatHostPort(endpoint)}`
  ].join(", ")

const shapeNames = { "hub-spoke": "hub and spoke", "full-mesh": "full mesh", hierarchical: "hierarchical" } as const

const isBackbone = ({ from, to }: Link): boolean => from.kind === "pop" && to.kind === "pop"

/** A tunnel. Between two lines of one card it is an arc beside it. */
const linkPath = (a: Point, b: Point, centre: Point): string => {
  if (Math.abs(a.x - b.x) > 1) return `M${round(a.x)} ${round(a.y)}L${round(b.x)} ${round(b.y)}`
  const reach = a.x < centre.x ? a.x + 40 : a.x - 40
  return `M${round(a.x)} ${round(a.y)}Q${round(reach)} ${round((a.y + b.y) / 2)} ${round(b.x)} ${round(b.y)}`
}

/** Tunnels of hosts that share a line are one. */
const linkLines = ({ links }: Mesh, { anchorOf, height, width }: Layout): ReadonlyArray<string> => {
  const centre = { x: width / 2, y: height / 2 }
  const paths = new Map<string, string>()
  for (const link of links) {
    const [a, b] = [anchorOf(link.from), anchorOf(link.to)]
    if (a === b) continue
    const kind = isBackbone(link) ? "link backbone" : "link"
    paths.set(linkPath(a, b, centre), kind)
  }
  return Array.from(paths, ([path, kind]) => `<path class="${kind}" d="${path}"/>`)
}

const cardLines = ({ height, region, rows, x, y }: Card): ReadonlyArray<string> => {
  const [start, end] = [x + 16, x + CARD_WIDTH - 16]
  const count = rows.reduce((sum, { hosts }) => sum + hosts.length, 0)
  return [
    `<rect class="card" x="${round(x)}" y="${round(y)}" width="${CARD_WIDTH}" height="${height}" rx="8"/>`,
    `<text class="name" x="${round(start)}" y="${round(y + HEADER_HEIGHT - 12)}">${region}</text>`,
    `<text class="faint" x="${round(end)}" y="${round(y + HEADER_HEIGHT - 12)}" text-anchor="end">${count} backend${count === 1 ? "" : "s"}</text>`,
    ...rows.flatMap((row) => [
      `<g><title>${escape(row.hosts.slice(0, 20).map(about).join("; "))}</title>`,
      `<circle class="backend" cx="${round(row.x)}" cy="${round(row.y)}" r="4"/>`,
      `<text x="${round(start)}" y="${round(row.y + 4)}">${escape(shortened(row.text))}</text>`,
      `<text class="faint" x="${round(end)}" y="${round(row.y + 4)}" text-anchor="end">${escape(row.detail)}</text></g>`
    ])
  ]
}

/** As much as fits beside an address. */
const shortened = (text: string): string => (text.length > 18 ? `${text.slice(0, 17)}…` : text)

const popLines = ({ relays }: Mesh, { host, x, y }: PopMark): ReadonlyArray<string> => [
  `<g><title>${escape(about(host))}</title>`,
  ...(relays.has(host) ? [`<circle class="hub" cx="${x}" cy="${y}" r="15"/>`] : []),
  `<circle class="pop" cx="${x}" cy="${y}" r="11"/>`,
  `<text class="name label" x="${x}" y="${round(y + 32)}" text-anchor="middle">${escape(host.name)}</text>`,
  `<text class="faint label" x="${x}" y="${round(y + 48)}" text-anchor="middle">${escape(host.addresses.map(NetAddress.formatIp)[0] ?? "")}</text></g>`
]

/** The mesh as an SVG, the same for the same mesh; for light and dark grounds, and with words for those who can't see it. */
export const drawMesh = (mesh: Mesh): string => {
  const layout = layoutOf(mesh)
  const { cards, height, pops, width } = layout
  const backends = mesh.hosts.length - pops.length
  const networks = mesh.plans.map(({ network }) => IpNetwork.format(network)).join(" and ")
  const summary = `${pops.length} POPs, ${backends} backends, ${mesh.links.length} tunnels; ${networks}`
  const relays = Array.from(mesh.relays, ({ name }) => name).join(", ")
  const words = [
    `${summary}.`,
    relays === "" ? "Every pair has a tunnel of its own." : `Packets for others pass through ${relays}.`,
    ...mesh.hosts
      .slice(0, 50)
      .map((host) => `${host.kind === "pop" ? "POP" : "Backend"} in ${host.region}: ${about(host)}.`)
  ].join(" ")
  const heading = `WireGuard mesh: ${shapeNames[mesh.shape]}`
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" class="mesh" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="mesh-title mesh-words">`,
    `<title id="mesh-title">${heading}</title>`,
    `<desc id="mesh-words">${escape(words)}</desc>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="head" x="28" y="36">${heading}</text>`,
    `<text class="faint" x="28" y="56">${escape(summary)}${relays === "" ? "" : "; a ring marks who passes packets on"}</text>`,
    ...linkLines(mesh, layout),
    ...cards.flatMap(cardLines),
    ...pops.flatMap((mark) => popLines(mesh, mark)),
    "</svg>"
  ].join("\n")}\n`
}
