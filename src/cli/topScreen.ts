import { displayWidth } from "effect/cli/CliOutput"
import { bytes } from "./operationTexts.ts"
import { printable } from "./printable.ts"
import { textTable } from "./textTable.ts"
import type { TopSnapshot } from "./topSnapshot.ts"
import type { Rows, TopState } from "./topState.ts"
import { arrange, backendTable, columnsFor, connectionTable, type TopTable } from "./topTables.ts"

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Lines above the rows: two of figures, a blank one, and the names of the columns. */
const HEAD = 4
/** The line of keys, or of a question. */
const FOOT = 1

/** What fits of a line, by what its characters take. */
const cut = (line: string, width: number): string => {
  if (line.length <= width && displayWidth(line) <= width) return line
  let kept = ""
  let taken = 0
  for (const character of line) {
    taken += displayWidth(character)
    if (taken > width) break
    kept += character
  }
  return kept
}

const duration = (secs: number): string => {
  if (secs < 90) return `${secs} s`
  if (secs < 5_400) return `${Math.round(secs / 60)} min`
  return secs < 129_600 ? `${Math.round(secs / 3_600)} h` : `${Math.round(secs / 86_400)} d`
}

const many = (shown: number, total: number): string => (shown < total ? `${total} (${shown} looked at)` : `${total}`)

/** Who it is and how it fares: two lines. */
export const headLines = ({
  backends,
  backendsTotal,
  connections,
  connectionsTotal,
  health,
  ready
}: TopSnapshot): ReadonlyArray<string> => {
  const fares = ready.ready
    ? `ready${ready.degraded.length > 0 ? ` (${ready.degraded.join(", ")})` : ""}`
    : `not ready: ${ready.reasons.join(", ")}`
  let toBackends = 0
  let fromBackends = 0
  for (const { inRate, outRate } of connections) {
    toBackends += inRate
    fromBackends += outRate
  }
  const well = backends.filter(({ state }) => state === "active" || state === "standby").length
  return [
    printable(`${health.pop} in ${health.region}, up ${duration(health.uptime_secs)}, ${fares}`),
    `connections ${many(connections.length, connectionsTotal)}, ${bytes(toBackends)}/s in, ${bytes(fromBackends)}/s out; backends ${many(backends.length, backendsTotal)}, ${well} of them up`
  ]
}

/** A list as lines: the names of its columns, then its rows. */
const tableLines = <A extends { readonly id: string }>(
  table: TopTable<A>,
  rows: ReadonlyArray<A>,
  sort: number,
  width: number
): ReadonlyArray<string> => textTable(rows, columnsFor(table, rows, { sort, width })).split("\n")

interface Shown {
  readonly ids: ReadonlyArray<string>
  readonly lines: ReadonlyArray<string>
  readonly describe: (id: string) => string
}

const shown = (state: TopState, snapshot: TopSnapshot, width: number): Shown => {
  const sort = state.sort[state.list]
  if (state.list === "backends") {
    const rows = arrange(backendTable, snapshot.backends, { filter: state.filter, sort })
    return {
      ids: rows.map(({ id }) => id),
      lines: tableLines(backendTable, rows, sort, width),
      describe: (id) => {
        const backend = snapshot.backends.find((backend) => backend.id === id)
        return `${printable(id)}${backend === undefined ? "" : ` with ${backend.connections} connections`}`
      }
    }
  }
  const rows = arrange(connectionTable, snapshot.connections, { filter: state.filter, sort })
  return {
    ids: rows.map(({ id }) => id),
    lines: tableLines(connectionTable, rows, sort, width),
    describe: (id) => {
      const found = snapshot.connections.find((connection) => connection.id === id)
      return found === undefined ? id : `${id}, ${found.client} to ${printable(found.backend ?? "no backend yet")}`
    }
  }
}

/** What the keys of this moment mean. */
const footLine = ({ filter, list, message, mode, paused }: TopState): string => {
  if (mode._tag === "Confirm") return mode.question
  if (mode._tag === "Filter") return `filter: ${printable(filter)}_   (enter: done, ctrl-u: clear)`
  if (message !== "") return message
  const parts = [
    "q quit",
    list === "connections" ? "b backends" : "c connections",
    "s sort",
    filter === "" ? "/ filter" : `/ filter: ${printable(filter)}`,
    list === "connections" ? "k kill" : "d drain, u undrain",
    paused ? "p go on (paused)" : "p pause"
  ]
  return parts.join("   ")
}

export interface Screen {
  /** From the top; the last one is the foot. */
  readonly lines: ReadonlyArray<string>
  /** Which of the lines are to stand out. */
  readonly marked: ReadonlySet<number>
  readonly rows: Rows
}

/** All lines of the screen, each no wider than it. `trouble`: why there is nothing newer than the snapshot. */
export const screenOf = (state: TopState, snapshot: TopSnapshot, size: Size, trouble: string): Screen => {
  const width = Math.max(1, size.columns)
  const page = Math.max(1, size.rows - HEAD - FOOT)
  const { describe, ids, lines } = shown(state, snapshot, width)
  const at = state.selected === undefined ? -1 : ids.indexOf(state.selected)
  // The marked row is in sight, in the middle where it can be.
  const from = Math.max(0, Math.min(at - Math.floor(page / 2), ids.length - page))
  const body = lines.slice(1 + from, 1 + from + page)
  const [first = "", second = ""] = headLines(snapshot)
  const all = [
    first,
    trouble === "" ? second : `as it was; now: ${printable(trouble)}`,
    "",
    lines[0] ?? "",
    ...body,
    ...Array.from({ length: page - body.length }, () => ""),
    footLine(state)
  ]
  const marked = new Set([HEAD - 1, all.length - 1, ...(at >= from && at < from + page ? [HEAD + at - from] : [])])
  return { lines: all.map((line) => cut(line, width)), marked, rows: { ids, page, describe } }
}

const INVERSE = "\u001b[7m"
const PLAIN = "\u001b[0m"

/** The screen as a terminal draws it over the last one, without a flicker: nothing is erased before it is drawn. */
export const paint = ({ lines, marked }: Screen, { columns }: Size): string => {
  const drawn = lines.map((line, at) =>
    marked.has(at)
      ? `${INVERSE}${line}${" ".repeat(Math.max(0, columns - displayWidth(line)))}${PLAIN}`
      : `${line}\u001b[K`
  )
  return `\u001b[H${drawn.join("\r\n")}\u001b[J`
}
