import { type Backend, sameBackend } from "../domain/Backend.ts"
import type { BackendState } from "../domain/BackendState.ts"

/** A change that this POP has made durable itself. */
export interface LocalChange {
  readonly id: string
  /** From what the table has at that moment; undefined: there is none. Only what was changed is to be different. */
  readonly change: (backend: Backend | undefined) => Backend | undefined
  /** When it was made: wall clock, milliseconds. */
  readonly at: number
}

/**
 * What this POP has changed itself and its source does not show yet: reads that began before the change must not undo it.
 * Kept until the source shows it, or something newer; or for so long that what the source shows must be the truth.
 */
export interface LocalChanges {
  /** Notes a change that was made to a backend. */
  readonly add: (change: LocalChange, before: Backend | undefined, after: Backend | undefined, now: number) => void
  /** Makes a table that the source has given what it will be. */
  readonly applyTo: (backends: Map<string, Backend>, states: ReadonlyMap<string, BackendState>, now: number) => void
  /** The source has looked, and shows what it showed last. */
  readonly confirm: (now: number) => void
  /** Gives up what the source should have shown by now; what the table has to have instead. */
  readonly giveUp: (now: number) => ReadonlyArray<readonly [id: string, shown: Backend | undefined]>
  readonly size: () => number
}

/** Every source shows a change sooner; one that has not by then shows that another POP has undone it. */
export const PATIENCE_MS = 5_000

/** A look may have begun so long before it is told of. */
const LOOK_MS = 1_000

interface Entry {
  /** All that the source may still show from before. */
  readonly before: ReadonlyArray<Backend | undefined>
  readonly after: Backend | undefined
  readonly at: number
  readonly until: number
  /** The source has given a table since. */
  seen: boolean
  shown: Backend | undefined
}

/** Changes of one backend, within the patience, that are told apart. */
const MOST_BEFORE = 16

const same = (a: Backend | undefined, b: Backend | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && sameBackend(a, b))

export const make = (): LocalChanges => {
  const entries = new Map<string, Entry>()
  return {
    add: ({ at, id }, before, after, now) => {
      const earlier = entries.get(id)
      const until = now + PATIENCE_MS
      const all = [...(earlier?.before.slice(-MOST_BEFORE) ?? []), before]
      const shown = earlier === undefined ? before : earlier.shown
      entries.set(id, { before: all, after, at, until, seen: false, shown })
    },
    confirm: (now) => {
      for (const entry of entries.values()) if (now >= entry.until - PATIENCE_MS + LOOK_MS) entry.seen = true
    },
    applyTo: (backends, states, now) => {
      for (const [id, entry] of entries) {
        const { after, at, before, until } = entry
        const shown = backends.get(id)
        entry.seen = true
        entry.shown = shown
        // It is gone here, and was registered again elsewhere.
        const renewed = after === undefined && (states.get(id)?.registeredAt ?? 0) > at
        if (renewed || now >= until || same(shown, after) || !before.some((each) => same(shown, each)))
          entries.delete(id)
        else if (after === undefined) backends.delete(id)
        else backends.set(id, after)
      }
    },
    giveUp: (now) => {
      const given: Array<readonly [string, Backend | undefined]> = []
      for (const [id, { after, seen, shown, until }] of entries) {
        // Nothing was read since: there is nothing to believe instead.
        if (now < until || !seen) continue
        entries.delete(id)
        if (!same(shown, after)) given.push([id, shown])
      }
      return given
    },
    size: () => entries.size
  }
}
