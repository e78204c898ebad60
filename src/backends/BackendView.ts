import type { Backend } from "../domain/Backend.ts"
import { type BackendState, REGISTERED } from "../domain/BackendState.ts"
import { connectionsOf, isSound, type Observed, unobserved, type Upstream } from "../routing/Upstream.ts"

/** A backend for people and programs (D1). Times of the wall clock in milliseconds. */
export interface BackendView {
  readonly id: string
  readonly app: string
  readonly region: string
  readonly country: string | undefined
  readonly address: string
  /** Where the host that `address` names leads; undefined for a literal. */
  readonly addresses: ReadonlyArray<{ readonly address: string; readonly port: number }> | undefined
  readonly port: number
  /** What the table says: an operator's word, and heartbeats where it registered. */
  readonly healthy: boolean
  readonly weight: number
  readonly softLimit: number
  /** 0 for none. */
  readonly hardLimit: number
  /** Live ones and those being dialled, at this POP. */
  readonly connections: number
  /** Opened ahead of a client, or being so. */
  readonly warm: number
  /** `api` or `table`. */
  readonly source: "api" | "table"
  /** The POP that decides on its expiry; of registered ones. */
  readonly owner: string | undefined
  readonly state: BackendStateName
  readonly circuit: CircuitName
  /** Why the last check failed. */
  readonly checkError: string | undefined
  /** Part of its weight that counts; below 1 while it starts slowly. */
  readonly share: number
  readonly registeredAt: number | undefined
  /** As known here: to the millisecond at the owner, as last written elsewhere. */
  readonly lastHeartbeatAt: number | undefined
}

/** `standby`: weight 0, keeps its bound clients only. What the table says comes before what is seen here. */
export type BackendStateName =
  | "active"
  | "standby"
  | "draining"
  /** Its host's name leads nowhere yet. */
  | "unresolved"
  | "unhealthy"
  | "expired"
  | "down"
  | "circuit-open"
  | "circuit-half-open"

export type CircuitName = "closed" | "open" | "half-open"

const circuitNames = { Closed: "closed", Open: "open", HalfOpen: "half-open" } as const

export const circuitNameOf = ({ circuit }: Observed): CircuitName => circuitNames[circuit._tag]

export const stateNameOf = (backend: Backend, observed: Observed = unobserved): BackendStateName => {
  if (backend.draining) return "draining"
  if (backend.expired) return "expired"
  if (!backend.healthy) return "unhealthy"
  if (!observed.up) return "down"
  const circuit = circuitNameOf(observed)
  if (circuit !== "closed") return `circuit-${circuit}`
  return backend.weight === 0 ? "standby" : "active"
}

/** What is known of a backend beside its row. */
export interface ViewParts {
  readonly pop: string
  readonly state: BackendState | undefined
  /** Of a backend that this POP owns. */
  readonly times: { readonly registeredAt: number; readonly heardAt: number } | undefined
  /** Of a row that names a host one for each of its addresses; none while it could not be looked up. */
  readonly upstreams: ReadonlyArray<Upstream>
}

/** What is seen of a row: of several addresses, of the best. */
const observedOf = (upstreams: ReadonlyArray<Upstream>): Observed =>
  (upstreams.find(isSound) ?? upstreams[0])?.observed ?? unobserved

export const backendView = (backend: Backend, { pop, state, times, upstreams }: ViewParts): BackendView => {
  const observed = observedOf(upstreams)
  const registered = state?.source === REGISTERED
  return {
    id: backend.id,
    app: backend.app,
    region: backend.region,
    country: backend.country,
    address: backend.address,
    port: backend.port,
    healthy: backend.healthy && !backend.expired,
    weight: backend.weight,
    softLimit: backend.softLimit,
    hardLimit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
    addresses:
      backend.named === true ? upstreams.map(({ backend: { address, port } }) => ({ address, port })) : undefined,
    connections: upstreams.reduce((sum, upstream) => sum + connectionsOf(upstream), 0),
    warm: upstreams.reduce((sum, { warm }) => sum + warm, 0),
    source: registered ? "api" : "table",
    owner: registered ? (times === undefined ? state.owner : pop) : undefined,
    state: backend.named === true && upstreams.length === 0 ? "unresolved" : stateNameOf(backend, observed),
    circuit: circuitNameOf(observed),
    checkError: observed.checkError,
    share: observed.share,
    registeredAt: registered ? times?.registeredAt || state.registeredAt || undefined : undefined,
    lastHeartbeatAt: registered ? times?.heardAt || state.heartbeatAt || undefined : undefined
  }
}
