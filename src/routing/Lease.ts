import type { Circuits, HowEnded, Trying } from "./Circuits.ts"
import { type Upstream } from "./Upstream.ts"
import type { Upstreams } from "./Upstreams.ts"

/**
 * A place below a backend's hard limit, held from the choice to the connection's end (R1, R5). It starts as a reservation,
 * becomes a live connection when the dial has succeeded, and is given back exactly once whatever happens: a second
 * release does nothing. What becomes of it is told to the backend's circuit (H2).
 */
export interface Lease {
  readonly upstream: Upstream
  /** False when it was no reservation any more. */
  readonly commit: () => boolean
  /** Gives the place back: the connection has ended. False when it had been given back before. */
  readonly release: (how?: HowEnded) => boolean
  /** Gives the place back: the dial has failed. `blamed`: by the backend's fault. */
  readonly fail: (blamed: boolean) => boolean
}

type State = "reserved" | "live" | "released"

/** Takes the place at once; whoever calls has seen in the same turn that there is room. */
export const reserve = (upstreams: Upstreams["Service"], circuits: Circuits["Service"], upstream: Upstream): Lease => {
  let state: State = "reserved"
  upstream.reserved++
  const trying: Trying | undefined = circuits.admit(upstream)
  upstreams.refresh(upstream)

  const giveBack = (): boolean => {
    if (state === "released") return false
    if (state === "reserved") upstream.reserved--
    else upstream.live--
    state = "released"
    upstreams.refresh(upstream)
    return true
  }

  return {
    upstream,
    commit: () => {
      if (state !== "reserved") return false
      state = "live"
      // The sum is unchanged, so no candidate's load is either.
      upstream.reserved--
      upstream.live++
      trying?.connected()
      return true
    },
    release: (how) => {
      if (!giveBack()) return false
      trying?.ended(how)
      return true
    },
    fail: (blamed) => {
      if (!giveBack()) return false
      trying?.failed(blamed)
      return true
    }
  }
}
