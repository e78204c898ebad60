import type { BackendRow } from "../../src/domain/Backend.ts"

interface Held {
  /** Where it is in the list. */
  readonly index: number
  version: number
}

interface Rows {
  readonly held: Map<string, Held>
  readonly list: Array<BackendRow>
  /** Rows whose id another one has: not worth more than reading everything each time. */
  doubles: number
}

/** What a database says of all rows of a table: how many there are, and the sum of their versions. */
export interface Digest {
  readonly count: number
  readonly sum: number
}

/** The rows of one table as last read. A row that has not changed stays the same object. */
export interface TableCopy {
  /** Rows come next: all of them, or those that may have changed. */
  readonly begin: (full: boolean) => void
  readonly take: (key: string, row: Record<string, unknown>, version: number) => void
  /** No more rows come. False when this can't be what the digest tells of: rows were removed, or ids are not unique. */
  readonly end: (digest: Digest) => boolean
  /** Something has changed since `rows` was last asked for. */
  readonly hasChanged: () => boolean
  readonly rows: () => ReadonlyArray<BackendRow>
}

const sameRow = (a: BackendRow, b: BackendRow): boolean => {
  for (const column in b) if (!Object.is(a[column], b[column])) return false
  return true
}

// Texts that recur; far more apps than any table has, and no way to keep a hostile one's texts for long.
const MAX_SHARED_TEXTS = 10_000
const recurring = ["app", "region", "country", "owner", "source"]

const empty = (): Rows => ({ held: new Map(), list: [], doubles: 0 })

export const make = (): TableCopy => {
  let rows = empty()
  let reading: Rows | undefined
  let sum = 0
  let hasChanged = false
  let texts = new Map<string, string>()
  let given: ReadonlyArray<BackendRow> = []

  /** Rid of the texts that make a hundred thousand rows heavy. */
  const compact = (row: Record<string, unknown>): BackendRow => {
    for (const column of recurring) {
      const text = row[column]
      if (typeof text !== "string") continue
      const shared = texts.get(text)
      if (shared !== undefined) row[column] = shared
      else if (texts.size < MAX_SHARED_TEXTS) texts.set(text, text)
    }
    return row
  }

  return {
    begin: (full) => {
      reading = full ? empty() : undefined
      if (!full) return
      sum = 0
      texts = new Map()
    },
    take: (key, row, version) => {
      const into = reading ?? rows
      const before = rows.held.get(key)
      const known = before === undefined ? undefined : rows.list[before.index]
      const isSame = known !== undefined && sameRow(known, row)
      const kept = isSame ? known : compact(row)
      if (!isSame) hasChanged = true
      sum += version
      if (into === rows && before !== undefined) {
        sum -= before.version
        before.version = version
        rows.list[before.index] = kept
        return
      }
      if (into.held.has(key)) into.doubles++
      else into.held.set(key, { index: into.list.length, version })
      into.list.push(kept)
    },
    end: (digest) => {
      if (reading === undefined) return rows.doubles === 0 && rows.held.size === digest.count && sum === digest.sum
      if (reading.list.length !== rows.list.length || reading.doubles > 0 || rows.doubles > 0) hasChanged = true
      rows = reading
      reading = undefined
      return true
    },
    hasChanged: () => hasChanged,
    rows: () => {
      if (hasChanged) given = rows.list.slice()
      hasChanged = false
      return given
    }
  }
}
