import type { ReplayedBackend, ReplayedPlace, ReplayReport } from "../replay/ReplayReport.ts"
import { tierWords } from "../routing/explanationWords.ts"
import { printable } from "./printable.ts"
import { type Column, textFields, textTable } from "./textTable.ts"

/** What was replayed to, and what came of it. */
export interface Replayed extends ReplayReport {
  readonly table: string
  readonly pop_region: string
  readonly without: { readonly pops: ReadonlyArray<string>; readonly backends: ReadonlyArray<string> }
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? "-" : `${((100 * part) / whole).toFixed(part === whole || part === 0 ? 0 : 1)} %`

const signed = (value: number): string => (value > 0 ? `+${value}` : `${value}`)

/** What of its limits is hit. */
const limitsOf = ({ full_at: fullAt, hard_limit: hard, over_soft: overSoft, region }: ReplayedBackend): string => {
  if (region === null) return "not in the table"
  if (fullAt !== null) return `hard limit ${hard} hit at ${fullAt}`
  return overSoft > 0 ? `${overSoft} came above its soft limit` : " "
}

const backendColumns: ReadonlyArray<Column<ReplayedBackend>> = [
  { name: "backend", show: ({ id }) => id },
  { name: "app", show: ({ app }) => app },
  { name: "region", show: ({ region }) => region },
  { name: "then", show: ({ before }) => before, right: true },
  { name: "now", show: ({ now }) => now, right: true },
  { name: "change", show: ({ before, now }) => signed(now - before), right: true },
  { name: "peak", show: ({ peak }) => peak, right: true },
  { name: "soft", show: ({ soft_limit }) => soft_limit, right: true },
  { name: "hard", show: ({ hard_limit }) => (hard_limit === 0 ? null : hard_limit), right: true },
  { name: "limits", show: limitsOf }
]

const placeColumns = (name: string): ReadonlyArray<Column<ReplayedPlace>> => [
  { name, show: ({ place }) => place ?? "unknown" },
  { name: "connections", show: ({ connections }) => connections, right: true },
  { name: "closed", show: ({ unroutable }) => unroutable, right: true },
  {
    name: "go to",
    show: ({ connections, to }) =>
      Object.entries(to)
        .map(([region, count]) => `${region} ${percent(count, connections)}`)
        .join(", ")
  }
]

type Move = ReplayReport["moves"][number]

const moveColumns: ReadonlyArray<Column<Move>> = [
  { name: "from", show: ({ from }) => from ?? "nobody" },
  { name: "to", show: ({ to }) => to ?? "nobody" },
  { name: "connections", show: ({ connections }) => connections, right: true }
]

const without = ({ backends, pops }: Replayed["without"]): string | null =>
  [...pops.map((region) => `POP and backends of ${region}`), ...backends.map(printable)].join(", ") || null

const section = <A>(
  title: string,
  rows: ReadonlyArray<A>,
  columns: ReadonlyArray<Column<A>>,
  limit: number
): string => {
  if (rows.length === 0) return ""
  const cut = rows.length > limit ? `, ${limit} of ${rows.length} shown` : ""
  return `\n\n${title}${cut}\n${textTable(rows.slice(0, limit), columns)}`
}

const tierLine = (counts: ReadonlyArray<number>): string => {
  const all = counts.reduce((sum, count) => sum + count, 0)
  return counts.map((count, tier) => `${tierWords[tier] ?? tier} ${percent(count, all)}`).join(", ")
}

/** A replay for people. */
export const replayText = (report: Replayed, limit: number): string => {
  const { log, routed } = report
  const closed = report.unroutable["no-backend"] + report.unroutable["no-capacity"]
  const compared = log.connections
  const head = textFields({
    log: `${log.connections} connections of ${log.clients} clients, ${log.from ?? "-"} to ${log.to ?? "-"}`,
    "not replayed": `${log.refused} turned away before a choice, ${log.bad} bad lines`,
    table: `${printable(report.table)}, at a POP in ${report.pop_region}`,
    ...(without(report.without) === null ? {} : { without: without(report.without) }),
    routed: `${routed} (${percent(routed, compared)}), at most ${report.peak} at once`,
    closed: `${closed}: ${report.unroutable["no-backend"]} no backend, ${report.unroutable["no-capacity"]} no capacity`,
    "as recorded": `${report.same + report.none} (${percent(report.same + report.none, compared)}); ${report.moved} go elsewhere, ${report.lost} lose theirs, ${report.gained} gain one`,
    "tiers then": tierLine(report.tiers_then),
    "tiers now": tierLine(report.tiers_now)
  })
  return (
    head +
    section("Backends", report.backends, backendColumns, limit) +
    section("Clients by region", report.regions, placeColumns("region"), limit) +
    section("Clients by country", report.countries, placeColumns("country"), limit) +
    section("Who goes elsewhere", report.moves, moveColumns, limit)
  )
}
