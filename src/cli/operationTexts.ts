import type * as schemas from "../api/schemas.ts"
import type { ConnectionEntry } from "./EdgeApi.ts"
import { type Column, textFields, textTable } from "./textTable.ts"

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`

const units = ["B", "kB", "MB", "GB", "TB"] as const

/** In decimal units, three digits at least. */
export const bytes = (count: number): string => {
  let value = count
  let unit = 0
  while (value >= 10_000 && unit < units.length - 1) {
    value /= 1_000
    unit++
  }
  return `${Math.round(value)} ${units[unit] ?? ""}`
}

const columns: ReadonlyArray<Column<ConnectionEntry>> = [
  { name: "id", show: ({ id }) => id },
  { name: "phase", show: ({ phase }) => phase },
  {
    name: "client",
    show: ({ client, client_port: port }) => (client.includes(":") ? `[${client}]:${port}` : `${client}:${port}`)
  },
  { name: "country", show: ({ country }) => country },
  { name: "app", show: ({ app }) => app },
  { name: "backend", show: ({ backend }) => backend },
  { name: "age", show: ({ age_ms }) => seconds(age_ms), right: true },
  { name: "idle", show: ({ idle_ms }) => seconds(idle_ms), right: true },
  { name: "in", show: ({ bytes_in }) => bytes(bytes_in), right: true },
  { name: "out", show: ({ bytes_out }) => bytes(bytes_out), right: true }
]

interface Connections {
  readonly connections: ReadonlyArray<ConnectionEntry>
  readonly total: number
}

export const connectionsText = ({ connections, total }: Connections): string => {
  if (total === 0) return "no connections"
  const more = total - connections.length
  return textTable(connections, columns) + (more > 0 ? `\n\n${more} more; --limit shows them` : "")
}

export const tableText = (table: typeof schemas.Table.Type): string => {
  const { held, lost } = table
  return textFields({
    version: table.version,
    from: table.origin,
    backends: table.backends,
    quarantined: table.quarantined,
    confirmed: table.age_secs === null ? "never" : `${table.age_secs.toFixed(1)} s ago`,
    source: lost === null ? "reachable" : `lost: ${lost.source} ${lost.target}: ${lost.reason}: ${lost.detail}`,
    held:
      held === null
        ? "nothing"
        : `an update that would remove ${held.lost} of ${held.eligible} eligible backends; \`edgeproxy table confirm\` takes it`
  })
}

export const healthText = (health: typeof schemas.Health.Type): string =>
  textFields({
    status: health.status,
    version: health.version,
    pop: health.pop,
    region: health.region,
    registered: health.registered_backends,
    up: `${health.uptime_secs} s`
  })

export const readyText = ({
  degraded,
  ready,
  reasons
}: typeof schemas.Ready.Type | typeof schemas.NotReady.Type): string =>
  textFields({
    ready: ready ? "yes" : "no",
    ...(reasons.length > 0 ? { because: reasons.join("; ") } : {}),
    ...(degraded.length > 0 ? { degraded: degraded.join("; ") } : {})
  })
