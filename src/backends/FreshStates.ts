import { type BackendState, REGISTERED } from "../domain/BackendState.ts"
import { PATIENCE_MS } from "../routing/LocalChanges.ts"

export type States = ReadonlyMap<string, BackendState>

/** What this POP has written of registrations, for as long as its source may not show it yet. */
export interface FreshStates {
  /** `shown` are the states that the source shows as it is written; undefined: there is none any more. */
  readonly note: (id: string, state: BackendState | undefined, shown: States, now: number) => void
  readonly has: (id: string) => boolean
  /** What is the case: as written, or as shown. */
  readonly stateOf: (id: string, shown: States, now: number) => BackendState | undefined
  /** Drops what the source shows, or should by now. */
  readonly forgetShown: (shown: States, now: number) => void
  /** How many have registered, by both. */
  readonly registered: (shown: States) => number
}

interface Fresh {
  readonly state: BackendState | undefined
  readonly shown: States
  readonly until: number
}

const isRegistered = (state: BackendState | undefined): boolean => state?.source === REGISTERED

export const make = (): FreshStates => {
  const written = new Map<string, Fresh>()
  let counted: { readonly shown: States; readonly count: number } | undefined

  const stateOf: FreshStates["stateOf"] = (id, shown, now) => {
    const seen = shown.get(id)
    const own = written.get(id)
    if (own === undefined) return seen
    // Of a table that was read before it was written, nothing is to be believed.
    const unseen = own.shown === shown
    if (own.state?.source !== seen?.source && (unseen || own.until > now)) return own.state
    written.delete(id)
    return seen
  }

  const countOf = (shown: States): number => {
    let count = 0
    for (const state of shown.values()) if (isRegistered(state)) count++
    return count
  }

  return {
    note: (id, state, shown, now) => void written.set(id, { state, shown, until: now + PATIENCE_MS }),
    has: (id) => written.has(id),
    stateOf,
    forgetShown: (shown, now) => {
      for (const id of written.keys()) stateOf(id, shown, now)
    },
    registered: (shown) => {
      if (counted?.shown !== shown) counted = { shown, count: countOf(shown) }
      let more = 0
      for (const [id, { state }] of written) more += Number(isRegistered(state)) - Number(isRegistered(shown.get(id)))
      return counted.count + more
    }
  }
}
