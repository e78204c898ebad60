import { type Upstream } from "./Upstream.ts"
import type { Upstreams } from "./Upstreams.ts"

/**
 * A place below a backend's hard limit, held from the choice to the connection's end (R1, R5). It starts as a reservation,
 * becomes a live connection when the dial has succeeded, and is given back exactly once whatever happens: a second
 * release does nothing.
 */
export interface Lease {
  readonly upstream: Upstream
  /** False when it was no reservation any more. */
  readonly commit: () => boolean
  /** False when it had been given back before. */
  readonly release: () => boolean
}

type State = "reserved" | "live" | "released"

/** Takes the place at once; whoever calls has seen in the same turn that there is room. */
export const reserve = (upstreams: Upstreams["Service"], upstream: Upstream): Lease => {
  let state: State = "reserved"
  upstream.reserved++
  upstreams.refresh(upstream)
  return {
    upstream,
    commit: () => {
      if (state !== "reserved") return false
      state = "live"
      // The sum is unchanged, so no candidate's load is either.
      upstream.reserved--
      upstream.live++
      return true
    },
    release: () => {
      if (state === "released") return false
      if (state === "reserved") upstream.reserved--
      else upstream.live--
      state = "released"
      upstreams.refresh(upstream)
      return true
    }
  }
}
