import { type Backend, sameBackend } from "../domain/Backend.ts"

/** A change that this POP has made durable itself; undefined: the backend is gone. */
export interface LocalChange {
  readonly id: string
  readonly backend: Backend | undefined
}

/**
 * What this POP has changed itself and its source does not show yet: reads that began before the change, or of a replica that
 * lags, must not undo it. Kept until the source shows it, or something newer, or for so long that the source must be right.
 */
export interface LocalChanges {
  /** `before` is what the table had. */
  readonly add: (change: LocalChange, before: Backend | undefined, now: number) => void
  /** Makes a table that the source has given what it will be. */
  readonly applyTo: (backends: Map<string, Backend>, now: number) => void
  readonly size: () => number
}

/** A source that has not shown a change by then never will: another POP has undone it at once. */
export const PATIENCE_MS = 30_000

interface Entry {
  readonly before: Backend | undefined
  readonly after: Backend | undefined
  readonly until: number
}

const same = (a: Backend | undefined, b: Backend | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && sameBackend(a, b))

export const make = (): LocalChanges => {
  const entries = new Map<string, Entry>()
  return {
    add: ({ backend, id }, before, now) => {
      // Of two changes in a row the source may show what was before either.
      const first = entries.get(id)
      entries.delete(id)
      entries.set(id, { before: first === undefined ? before : first.before, after: backend, until: now + PATIENCE_MS })
    },
    applyTo: (backends, now) => {
      for (const [id, { after, before, until }] of entries) {
        const shown = backends.get(id)
        if (same(shown, after) || !same(shown, before) || now >= until) entries.delete(id)
        else if (after === undefined) backends.delete(id)
        else backends.set(id, after)
      }
    },
    size: () => entries.size
  }
}
