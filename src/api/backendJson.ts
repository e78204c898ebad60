import { formatEndpoint } from "../traffic/Transport.ts"
import type { BackendView } from "../backends/BackendView.ts"
import type { Backend, Quarantined, Registration } from "./schemas.ts"

const secondsSince = (at: number | undefined, now: number): number | null =>
  at === undefined ? null : Math.max(0, Math.floor((now - at) / 1_000))

/** A backend as D1 names it; `now` is the wall clock in milliseconds. */
export const backendJson = (view: BackendView, now: number): typeof Backend.Type => ({
  id: view.id,
  app: view.app,
  region: view.region,
  country: view.country ?? null,
  ip: view.address,
  ...(view.addresses === undefined ? {} : { addresses: view.addresses.map(formatEndpoint) }),
  port: view.port,
  healthy: view.healthy,
  weight: view.weight,
  soft_limit: view.softLimit,
  hard_limit: view.hardLimit,
  connections: view.connections,
  warm: view.warm,
  last_heartbeat_secs: secondsSince(view.lastHeartbeatAt, now),
  registered_secs: secondsSince(view.registeredAt, now),
  source: view.source,
  state: view.state,
  circuit: view.circuit,
  check_error: view.checkError ?? null,
  share: view.share,
  owner: view.owner ?? null
})

export const quarantinedJson = ([id, reason]: readonly [id: string, reason: string]): typeof Quarantined.Type => ({
  id,
  reason,
  state: "quarantined"
})

/** The row that a registration asks for, with D1's defaults. */
export const rowOf = (registration: typeof Registration.Type) => ({
  id: registration.id,
  app: registration.app,
  region: registration.region,
  country: registration.country ?? null,
  wg_ip: registration.ip,
  port: registration.port,
  healthy: 1,
  weight: registration.weight ?? 2,
  soft_limit: registration.soft_limit ?? 100,
  hard_limit: registration.hard_limit ?? 150,
  deleted: 0
})
