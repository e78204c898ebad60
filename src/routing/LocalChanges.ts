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

/** Changes of one backend, within the patience, that are told apart. */
const MOST_BEFORE = 16

interface Entry {
  /** All that the source may still show from before. */
  readonly before: ReadonlyArray<Backend | undefined>
  readonly after: Backend | undefined
  readonly until: number
}

const same = (a: Backend | undefined, b: Backend | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && sameBackend(a, b))

export const make = (): LocalChanges => {
  const entries = new Map<string, Entry>()
  return {
    add: ({ backend, id }, before, now) => {
      const earlier = entries.get(id)?.before.slice(-MOST_BEFORE) ?? []
      entries.set(id, { before: [...earlier, before], after: backend, until: now + PATIENCE_MS })
    },
    applyTo: (backends, now) => {
      for (const [id, { after, before, until }] of entries) {
        const shown = backends.get(id)
        if (same(shown, after) || !before.some((each) => same(shown, each)) || now >= until) entries.delete(id)
        else if (after === undefined) backends.delete(id)
        else backends.set(id, after)
      }
    },
    size: () => entries.size
  }
}
