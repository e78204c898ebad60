import type { BackendRow } from "../../src/domain/Backend.ts"

interface Held {
  row: BackendRow
  version: number
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

export const make = (): TableCopy => {
  let held = new Map<string, Held>()
  /** Rows whose id another one has: not worth more than reading everything each time. */
  let doubles: Array<BackendRow> = []
  let reading: { readonly held: Map<string, Held>; readonly doubles: Array<BackendRow> } | undefined
  let sum = 0
  let hasChanged = false
  let rows: ReadonlyArray<BackendRow> = []
  let texts = new Map<string, string>()

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

  const keep = (into: Map<string, Held>, key: string, row: Record<string, unknown>, version: number): void => {
    const before = held.get(key)
    sum += version
    if (before !== undefined && sameRow(before.row, row)) {
      if (into === held) {
        sum -= before.version
        before.version = version
      } else into.set(key, { row: before.row, version })
      return
    }
    hasChanged = true
    if (into === held && before !== undefined) sum -= before.version
    into.set(key, { row: compact(row), version })
  }

  return {
    begin: (full) => {
      reading = full ? { held: new Map(), doubles: [] } : undefined
      if (!full) return
      sum = 0
      texts = new Map()
    },
    take: (key, row, version) => {
      if (reading === undefined) keep(held, key, row, version)
      else if (reading.held.has(key)) reading.doubles.push(row)
      else keep(reading.held, key, row, version)
    },
    end: (digest) => {
      if (reading === undefined) return doubles.length === 0 && held.size === digest.count && sum === digest.sum
      if (reading.held.size !== held.size || reading.doubles.length > 0 || doubles.length > 0) hasChanged = true
      ;({ doubles, held } = reading)
      reading = undefined
      return true
    },
    hasChanged: () => hasChanged,
    rows: () => {
      if (hasChanged) rows = [...Array.from(held.values(), ({ row }) => row), ...doubles]
      hasChanged = false
      return rows
    }
  }
}
