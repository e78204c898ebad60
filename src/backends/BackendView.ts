import type { Backend } from "../domain/Backend.ts"

/** A backend for people and programs (D1). Times of the wall clock in milliseconds. */
export interface BackendView {
  readonly id: string
  readonly app: string
  readonly region: string
  readonly country: string | undefined
  readonly address: string
  readonly port: number
  /** What the table says: an operator's word, and heartbeats where it registered. */
  readonly healthy: boolean
  readonly weight: number
  readonly softLimit: number
  /** 0 for none. */
  readonly hardLimit: number
  /** Live ones and those being dialled, at this POP. */
  readonly connections: number
  /** `api` or `table`. */
  readonly source: "api" | "table"
  /** The POP that decides on its expiry; of registered ones. */
  readonly owner: string | undefined
  readonly state: BackendStateName
  readonly registeredAt: number | undefined
  /** As known here: to the millisecond at the owner, as last written elsewhere. */
  readonly lastHeartbeatAt: number | undefined
}

/** `standby`: weight 0, keeps its bound clients only. */
export type BackendStateName = "active" | "standby" | "draining" | "unhealthy" | "expired"

export const stateNameOf = (backend: Backend): BackendStateName =>
  backend.draining
    ? "draining"
    : backend.expired
      ? "expired"
      : !backend.healthy
        ? "unhealthy"
        : backend.weight === 0
          ? "standby"
          : "active"
