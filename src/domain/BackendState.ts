import type { BackendRow } from "./Backend.ts"

/** What the backends table has no column for (D0): a row of `edgeproxy_backend_state`, beside it in the same store. */
export interface BackendState {
  readonly id: string
  /** The POP that decides on its expiry; "" for none. */
  readonly owner: string
  /** `api` for a registered backend; "" for one that was written by hand. */
  readonly source: string
  readonly draining: boolean
  /** Heartbeats have stopped: out of rotation until one comes. */
  readonly expired: boolean
  /** Wall clock, milliseconds; 0 for never. */
  readonly registeredAt: number
  /** As last written, which is rarely; 0 for never. */
  readonly heartbeatAt: number
}

/** The source of backends that registered themselves, and must go on to say that they are there. */
export const REGISTERED = "api"

export const STATE_TABLE = "edgeproxy_backend_state"

export const stateColumns = ["id", "owner", "source", "draining", "expired", "registered_at", "heartbeat_at"] as const

const text = (value: unknown): string => (typeof value === "string" && value.length <= MAX_TEXT ? value : "")
const MAX_TEXT = 128

/** 64-bit columns arrive as bigint or, from some drivers, as text. */
const number = (value: unknown): number => {
  const read = typeof value === "bigint" || typeof value === "string" ? Number(value) : value
  return typeof read === "number" && Number.isSafeInteger(read) && read > 0 ? read : 0
}

const flag = (value: unknown): boolean => value === true || number(value) !== 0

/** Decodes one row on its own; undefined when it names no backend. What else is wrong in it counts as not said. */
export const decodeState = (row: BackendRow): BackendState | undefined => {
  const id = text(row["id"])
  if (id === "") return undefined
  return {
    id,
    owner: text(row["owner"]),
    source: text(row["source"]),
    draining: flag(row["draining"]),
    expired: flag(row["expired"]),
    registeredAt: number(row["registered_at"]),
    heartbeatAt: number(row["heartbeat_at"])
  }
}
