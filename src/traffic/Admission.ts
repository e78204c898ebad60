import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Listener } from "./Transport.ts"

/**
 * How many connections the process takes (C5). At the limit the listeners are paused, so that the kernel's backlog holds
 * newcomers where the engine allows it; they are resumed as soon as there is room.
 */
export class Admission extends Context.Service<
  Admission,
  {
    readonly limit: number
    /** Takes a place; false at the limit. */
    readonly enter: () => boolean
    readonly leave: () => void
    readonly isFull: () => boolean
    readonly active: () => number
    /** At the limit, and accepting nobody until there is room. */
    readonly paused: () => boolean
    readonly attach: (listener: Listener) => void
  }
>()("edgeproxy/traffic/Admission") {
  static readonly layer = (limit: number): Layer.Layer<Admission> => Layer.sync(Admission, () => make(limit))
}

export const make = (limit: number): Admission["Service"] => {
  const listeners: Array<Listener> = []
  let active = 0
  let paused = false
  return Admission.of({
    limit,
    enter: () => {
      if (active >= limit) return false
      active++
      if (active >= limit) {
        paused = true
        for (const listener of listeners) listener.pause("limit")
      }
      return true
    },
    leave: () => {
      active--
      if (!paused || active >= limit) return
      paused = false
      for (const listener of listeners) listener.resume()
    },
    isFull: () => active >= limit,
    active: () => active,
    paused: () => paused,
    attach: (listener) => {
      listeners.push(listener)
      if (paused) listener.pause("limit")
    }
  })
}

/** Descriptors kept for the control plane: databases, logs, API, listeners, timers. */
const RESERVED_FDS = 64
const FDS_PER_CONNECTION = 2

/** The most connections that the file descriptors allow; at least one. */
export const connectionsForFds = (fdLimit: number): number =>
  Math.max(1, Math.floor((fdLimit - Math.min(RESERVED_FDS, Math.floor(fdLimit / 2))) / FDS_PER_CONNECTION))

/** The limit in force: what was asked for, but never more than the descriptors allow. */
export const connectionLimit = (asked: number | "auto", fdLimit: number): Effect.Effect<number> => {
  const most = connectionsForFds(fdLimit)
  if (asked === "auto") return Effect.succeed(most)
  if (asked <= most) return Effect.succeed(asked)
  return Effect.as(
    Effect.logWarning("EDGEPROXY_MAX_CONNECTIONS is more than the file descriptors allow; lowered", {
      asked,
      most,
      fdLimit
    }),
    most
  )
}
