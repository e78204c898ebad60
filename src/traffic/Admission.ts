import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Listener } from "./Transport.ts"

export type Pause = "limit" | "overload"

/**
 * Whether the process takes connections (C5). At its limit of them, and while it is overloaded, the listeners are paused, so
 * that the kernel's backlog holds newcomers where the engine allows it; they are resumed as soon as there is room.
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
    /** Nobody is accepted on account of an overload. */
    readonly setOverloaded: (overloaded: boolean) => void
    /** Why nobody is accepted now. */
    readonly paused: () => Pause | undefined
    readonly attach: (listener: Listener) => void
  }
>()("edgeproxy/traffic/Admission") {
  static readonly layer = (limit: number): Layer.Layer<Admission> => Layer.sync(Admission, () => make(limit))
}

export const make = (limit: number): Admission["Service"] => {
  const listeners: Array<Listener> = []
  let active = 0
  let overloaded = false
  let paused: Pause | undefined

  const update = (): void => {
    const wanted = active >= limit ? "limit" : overloaded ? "overload" : undefined
    if (wanted === paused) return
    paused = wanted
    for (const listener of listeners) {
      if (wanted === undefined) listener.resume()
      else listener.pause(wanted)
    }
  }

  return Admission.of({
    limit,
    enter: () => {
      if (active >= limit) return false
      active++
      update()
      return true
    },
    leave: () => {
      active--
      update()
    },
    isFull: () => active >= limit,
    active: () => active,
    setOverloaded: (now) => {
      overloaded = now
      update()
    },
    paused: () => paused,
    attach: (listener) => {
      listeners.push(listener)
      if (paused !== undefined) listener.pause(paused)
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
