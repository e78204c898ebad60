import { stateNameOf } from "../backends/BackendView.ts"
import type { Backend } from "../domain/Backend.ts"
import { type BackendState, REGISTERED } from "../domain/BackendState.ts"
import type { StoredTable } from "./ConfiguredStore.ts"
import type { BackendEntry } from "./EdgeApi.ts"
import { printable } from "./printable.ts"
import { type Column, textTable } from "./textTable.ts"

type Used = Exclude<BackendEntry, { readonly state: "quarantined" }>

/** A backend as the API shows it; what only a running process knows is null. */
type Shown = Omit<Used, "connections" | "warm"> & { readonly connections: number | null; readonly warm: number | null }

type Quarantined = Extract<BackendEntry, { readonly state: "quarantined" }>

/** Backends for people and, as JSON, for programs. */
export interface Listing {
  readonly backends: ReadonlyArray<Shown | Quarantined>
  /** How many there are; more than are shown when the list was cut. */
  readonly total: number
}

const secondsSince = (at: number | undefined, now: number): number | null =>
  at === undefined || at === 0 ? null : Math.max(0, Math.floor((now - at) / 1_000))

const shown = (backend: Backend, state: BackendState | undefined, now: number): Shown => {
  const registered = state?.source === REGISTERED
  return {
    id: backend.id,
    app: backend.app,
    region: backend.region,
    country: backend.country ?? null,
    ip: backend.address,
    port: backend.port,
    healthy: backend.healthy && !backend.expired,
    weight: backend.weight,
    soft_limit: backend.softLimit,
    hard_limit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
    connections: null,
    warm: null,
    last_heartbeat_secs: registered ? secondsSince(state.heartbeatAt, now) : null,
    registered_secs: registered ? secondsSince(state.registeredAt, now) : null,
    source: registered ? "api" : "table",
    state: stateNameOf(backend),
    circuit: null,
    check_error: null,
    share: null,
    owner: registered ? state.owner : null
  }
}

export interface Filter {
  readonly app: string | undefined
  readonly state: BackendEntry["state"] | undefined
  readonly limit: number
}

/** The same list from the store itself; `now` is the wall clock in milliseconds. */
export const storedListing = (table: StoredTable, { app, limit, state }: Filter, now: number): Listing => {
  const used = Array.from(table.backends.values(), (backend) => shown(backend, table.states.get(backend.id), now))
  const bad = Array.from(table.quarantined, ([id, reason]) => ({ id, reason, state: "quarantined" as const }))
  const fits =
    state === "quarantined"
      ? bad
      : used.filter((each) => (app ?? each.app) === each.app && (state ?? each.state) === each.state)
  return { backends: fits.slice(0, limit), total: fits.length }
}

const isQuarantined = (entry: Shown | Quarantined): entry is Quarantined => entry.state === "quarantined"

const columns: ReadonlyArray<Column<Shown>> = [
  { name: "id", show: ({ id }) => id },
  { name: "app", show: ({ app }) => app },
  { name: "region", show: ({ region }) => region },
  { name: "country", show: ({ country }) => country },
  { name: "address", show: ({ ip, port }) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`) },
  { name: "state", show: ({ state }) => state },
  { name: "weight", show: ({ weight }) => weight, right: true },
  { name: "soft", show: ({ soft_limit }) => soft_limit, right: true },
  { name: "hard", show: ({ hard_limit }) => (hard_limit === 0 ? null : hard_limit), right: true },
  { name: "connections", show: ({ connections }) => connections, right: true },
  { name: "source", show: ({ owner, source }) => (owner ? `${source} (${owner})` : source) },
  { name: "heard", show: ({ last_heartbeat_secs: secs }) => (secs === null ? null : `${secs} s ago`), right: true }
]

const badColumns: ReadonlyArray<Column<Quarantined>> = [
  { name: "row", show: ({ id }) => id },
  { name: "not used because", show: ({ reason }) => reason }
]

export const listingText = ({ backends, total }: Listing): string => {
  if (total === 0) return "no backends"
  const bad = backends.filter(isQuarantined)
  const used = backends.filter((entry) => !isQuarantined(entry))
  const parts = [
    ...(used.length > 0 ? [textTable(used, columns)] : []),
    ...(bad.length > 0 ? [textTable(bad, badColumns)] : []),
    ...(total > backends.length ? [`${total - backends.length} more; --limit shows them`] : [])
  ]
  return parts.join("\n\n")
}

/** One word more for a list of backends in use, when some rows are not. */
export const quarantineHint = (count: number, where: string): string =>
  `${count} ${count === 1 ? "row" : "rows"} of ${printable(where)} not used; --state quarantined shows why`
