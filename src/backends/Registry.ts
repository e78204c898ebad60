import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { BackendRow } from "../domain/Backend.ts"

/** Why the registry did not do what it was asked. */
export class RegistryError extends Data.TaggedError("RegistryError")<{
  /**
   * `unknown`: no such backend (404). `foreign`: the id is of a row that was written by hand, which is not the registry's to
   * change (409). `invalid`: what is said of it can't be (400). `address`: it may not live there (403). `not-durable`: the
   * store could not take it (503). `busy`: too much waits for the store (503).
   */
  readonly reason: "unknown" | "foreign" | "invalid" | "address" | "not-durable" | "busy"
  readonly id: string
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

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

/**
 * Backends that come and go by themselves (D1, D2, D5, D6). What is acknowledged is durable. Heartbeats are kept in memory and
 * written rarely. Who is no longer heard of leaves the rotation after the TTL and the table after ten of them, by the word of
 * the POP that owns it; ownership goes to the POP that hears from it.
 */
export class Registry extends Context.Service<
  Registry,
  {
    /** Takes a row of the backends table, untrusted as it came. */
    readonly register: (row: BackendRow) => Effect.Effect<"created" | "known", RegistryError>
    readonly heartbeat: (id: string) => Effect.Effect<void, RegistryError>
    readonly deregister: (id: string) => Effect.Effect<void, RegistryError>
    /** Of any backend, also one that was written by hand (H6). */
    readonly setDraining: (id: string, draining: boolean) => Effect.Effect<void, RegistryError>
    readonly get: (id: string) => BackendView | undefined
    readonly list: () => Iterable<BackendView>
    /** Rows that are not used, with the reason. */
    readonly quarantined: () => ReadonlyMap<string, string>
    /** How many have registered and are still in the table, here or at another POP. */
    readonly registered: () => number
  }
>()("edgeproxy/backends/Registry") {}
