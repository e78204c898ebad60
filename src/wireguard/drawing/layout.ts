import * as NetAddress from "effect/net/NetAddress"
import { type Region, regions } from "../../domain/Region.ts"
import type { Mesh, MeshHost } from "../Mesh.ts"

export interface Point {
  readonly x: number
  readonly y: number
}

/** A backend's line in the card of its region, or the one for all that have none; its point is on the card's edge. */
export interface Row extends Point {
  readonly text: string
  readonly detail: string
  readonly hosts: ReadonlyArray<MeshHost>
}

/** The backends of a region. */
export interface Card extends Point {
  readonly region: Region
  readonly height: number
  readonly side: "left" | "right"
  readonly rows: ReadonlyArray<Row>
}

export interface PopMark extends Point {
  readonly host: MeshHost
}

/** Where everything stands: POPs on a ring in the middle, the backends of each region in a card beside it. */
export interface Layout {
  readonly width: number
  readonly height: number
  readonly pops: ReadonlyArray<PopMark>
  readonly cards: ReadonlyArray<Card>
  /** Where the tunnels of a host end. */
  readonly anchorOf: (host: MeshHost) => Point
}

export const CARD_WIDTH = 250
export const ROW_HEIGHT = 22
export const HEADER_HEIGHT = 34
const CARD_PADDING = 10
const CARD_GAP = 24
const MARGIN = 28
/** Room for title and legend. */
export const TOP = 76
const RING_GAP = 110
/** Along the ring, so that the labels of two POPs don't meet. */
const POP_SPACING = 150
const MAX_ROWS = 12

const addressOf = (host: MeshHost): string => host.addresses.map(NetAddress.formatIp)[0] ?? ""

const rowsOf = (backends: ReadonlyArray<MeshHost>) => {
  const shown = backends.length > MAX_ROWS ? backends.slice(0, MAX_ROWS - 1) : backends
  const rest = backends.slice(shown.length)
  const rows = shown.map((host) => ({ text: host.name, detail: addressOf(host), hosts: [host] }))
  return rest.length === 0 ? rows : [...rows, { text: `and ${rest.length} more`, detail: "", hosts: rest }]
}

const columnHeight = (cards: ReadonlyArray<{ readonly height: number }>): number =>
  cards.reduce((sum, { height }) => sum + height, Math.max(0, cards.length - 1) * CARD_GAP)

/** Every second region is at the right. */
const sideOf = (order: number): Card["side"] => (order % 2 === 0 ? "left" : "right")

export const layoutOf = ({ hosts, shape }: Mesh): Layout => {
  const present = regions.filter((region) => hosts.some((host) => host.region === region))
  const sides = new Map(present.map((region, order) => [region, sideOf(order)]))
  const sized = present.flatMap((region) => {
    const rows = rowsOf(hosts.filter((host) => host.kind === "backend" && host.region === region))
    const height = HEADER_HEIGHT + rows.length * ROW_HEIGHT + CARD_PADDING
    return rows.length === 0 ? [] : [{ region, side: sides.get(region) ?? "left", rows, height }]
  })

  const pops = hosts.filter(({ kind }) => kind === "pop")
  const middle = pops.length === 1 ? pops[0] : shape === "hub-spoke" ? pops.find(({ hub }) => hub) : undefined
  const around = pops.filter((pop) => pop !== middle)
  const radius = around.length === 0 ? 60 : Math.max(130, (around.length * POP_SPACING) / (2 * Math.PI))

  const columns = {
    left: sized.filter(({ side }) => side === "left"),
    right: sized.filter(({ side }) => side === "right")
  }
  const inner = Math.max(columnHeight(columns.left), columnHeight(columns.right), 2 * radius + 80)
  const width = 2 * (MARGIN + CARD_WIDTH + RING_GAP + radius)
  const height = TOP + inner + MARGIN
  const centre: Point = { x: width / 2, y: TOP + inner / 2 }

  const cards = (["left", "right"] as const).flatMap((side) => {
    const x = side === "left" ? MARGIN : width - MARGIN - CARD_WIDTH
    let y = TOP + (inner - columnHeight(columns[side])) / 2
    return columns[side].map(({ height, region, rows }): Card => {
      const top = y
      y += height + CARD_GAP
      return {
        region,
        side,
        height,
        x,
        y: top,
        rows: rows.map((row, index) => ({
          ...row,
          x: side === "left" ? x + CARD_WIDTH : x,
          y: top + HEADER_HEIGHT + index * ROW_HEIGHT + ROW_HEIGHT / 2
        }))
      }
    })
  })

  // Clockwise from the top: down the right side, up the left one, each POP near the card of its region.
  const onSide = (side: Card["side"]) =>
    present
      .filter((region) => sides.get(region) === side)
      .flatMap((region) => around.filter((pop) => pop.region === region))
  const ring = [...onSide("right"), ...onSide("left").toReversed()].map((host, index): PopMark => {
    const angle = ((index + 0.5) / around.length) * 2 * Math.PI - Math.PI / 2
    return { host, x: round(centre.x + radius * Math.cos(angle)), y: round(centre.y + radius * Math.sin(angle)) }
  })
  const marks = middle === undefined ? ring : [{ host: middle, ...centre }, ...ring]

  const anchors = new Map<MeshHost, Point>(marks.map((mark) => [mark.host, mark]))
  for (const { rows } of cards) for (const row of rows) for (const host of row.hosts) anchors.set(host, row)
  return {
    width: round(width),
    height: round(height),
    pops: marks,
    cards,
    anchorOf: (host) => anchors.get(host) ?? centre
  }
}

/** The last digits of a cosine differ between processors; a drawing's should not. */
export const round = (value: number): number => Math.round(value * 10) / 10
