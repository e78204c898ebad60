import type { BackendRow } from "../../src/domain/Backend.ts"
import type { Cells, Unreadable } from "./QueryEvent.ts"
import * as ShardedMap from "./ShardedMap.ts"

/** Rows that are being collected; those of the table stay in use meanwhile. */
export interface Snapshot {
  /** False when it is no row of this table, or one too many. */
  readonly add: (rowid: number, cells: Cells | Unreadable) => boolean
  /** Whether the collected rows are other ones than those of the table. */
  readonly differs: () => boolean
  /** Takes the collected rows for those so far. */
  readonly swap: () => void
}

/** The rows of one table by their ids in a subscription. A row that says the same as before stays the same object. */
export interface RowTable {
  readonly columns: ReadonlyArray<string>
  /** Undefined before the first snapshot. */
  readonly rows: () => ReadonlyArray<BackendRow> | undefined
  readonly size: () => number
  /** What a row is called: its first column; "" when that is no name, which more than one may have. */
  readonly nameOf: (row: BackendRow) => string
  readonly named: (name: string) => BackendRow | undefined
  /** The row that these cells would be, which may be the one that is there; undefined when it is no row of this table. */
  readonly find: (cells: Cells | Unreadable) => BackendRow | undefined
  readonly collect: () => Snapshot
  /** Whether anything differs; undefined when it is no row of this table. */
  readonly put: (rowid: number, cells: Cells | Unreadable) => boolean | undefined
  readonly remove: (rowid: number) => boolean
}

// Ten times what a table is made for. Beyond it a snapshot is refused and the rows so far stay; new rows are left out.
const MAX_ROWS = 1_000_000
// Longer ones are in no valid row; more of them would only fill the memory.
const MAX_TEXT = 256
// Texts that recur; far more apps than any table has, and no way to keep a hostile one's texts for long.
const MAX_SHARED_TEXTS = 10_000

// What stands for a value that is no text and no number. Whoever decodes it says that it is none.
const BLOB = new Uint8Array()

type Cell = null | number | string | Uint8Array

const sharedColumns: ReadonlySet<string> = new Set(["app", "region", "country", "owner", "source"])

interface Entries {
  readonly byRowid: ShardedMap.ShardedMap<number, BackendRow>
  readonly byName: ShardedMap.ShardedMap<string, BackendRow>
}

const noEntries = (): Entries => ({ byRowid: ShardedMap.make(), byName: ShardedMap.make() })

/** Of a table with these columns, the first of which names the row. */
export const make = (columns: ReadonlyArray<string>): RowTable => {
  const [nameColumn = "id"] = columns
  const shared = columns.map((column) => sharedColumns.has(column))
  const texts = new Map<string, string>()
  // Copies of it have all their columns in one piece of memory, and are of one kind for the compiler.
  const template: Readonly<Record<string, Cell>> = Object.fromEntries(columns.map((column) => [column, null]))
  let current: Entries | undefined
  let version = 0

  const cell = (value: unknown, recurs: boolean): Cell | undefined => {
    if (typeof value === "number" || value === null) return value
    if (typeof value !== "string") return Array.isArray(value) ? BLOB : undefined
    // Cut by way of bytes: a slice would keep the whole text in memory.
    if (value.length > MAX_TEXT) return Buffer.from(value.slice(0, MAX_TEXT)).toString()
    if (!recurs) return value
    const known = texts.get(value)
    if (known !== undefined) return known
    if (texts.size < MAX_SHARED_TEXTS) texts.set(value, value)
    return value
  }

  const rowOf = (cells: Cells | Unreadable): BackendRow | undefined => {
    const row: Record<string, Cell> = { ...template }
    if ("_tag" in cells) {
      for (const column of columns) row[column] = BLOB
      if (cells.first !== undefined) row[nameColumn] = cell(cells.first, false) ?? BLOB
      return row
    }
    if (cells.length !== columns.length) return undefined
    let index = 0
    for (const column of columns) {
      const value = cell(cells[index], shared[index] === true)
      if (value === undefined) return undefined
      row[column] = value
      index++
    }
    return row
  }

  const same = (a: BackendRow, b: BackendRow): boolean => columns.every((column) => a[column] === b[column])

  const nameOf = (row: BackendRow): string => {
    const name = row[nameColumn]
    // One that was cut may be another row's as well.
    return typeof name === "string" && name.length < MAX_TEXT ? name : ""
  }

  const find = (cells: Cells | Unreadable): BackendRow | undefined => {
    const row = rowOf(cells)
    const known = row === undefined ? undefined : current?.byName.get(nameOf(row))
    return row !== undefined && known !== undefined && same(known, row) ? known : row
  }

  const forgetName = ({ byName }: Entries, row: BackendRow): void => {
    const name = nameOf(row)
    if (byName.get(name) === row) byName.delete(name)
  }

  return {
    columns,
    nameOf,
    rows: () => (current === undefined ? undefined : current.byRowid.values()),
    size: () => current?.byRowid.size() ?? 0,
    named: (name) => current?.byName.get(name),
    find,
    collect: () => {
      const entries = noEntries()
      const since = version
      let kept = 0
      return {
        add: (rowid, cells) => {
          const row = find(cells)
          if (row === undefined || entries.byRowid.size() >= MAX_ROWS) return false
          const name = nameOf(row)
          if (current?.byName.get(name) === row) kept++
          entries.byRowid.set(rowid, row)
          entries.byName.set(name, row)
          return true
        },
        differs: () => {
          const size = entries.byRowid.size()
          return version !== since || current === undefined || current.byRowid.size() !== size || kept !== size
        },
        swap: () => {
          current = entries
          version++
        }
      }
    },
    put: (rowid, cells) => {
      const row = rowOf(cells)
      if (row === undefined) return undefined
      current ??= noEntries()
      const before = current.byRowid.get(rowid)
      if (before === undefined && current.byRowid.size() >= MAX_ROWS) return false
      if (before !== undefined && same(before, row)) return false
      if (before !== undefined) forgetName(current, before)
      current.byRowid.set(rowid, row)
      current.byName.set(nameOf(row), row)
      version++
      return true
    },
    remove: (rowid) => {
      const before = current?.byRowid.get(rowid)
      if (current === undefined || before === undefined) return false
      current.byRowid.delete(rowid)
      forgetName(current, before)
      version++
      return true
    }
  }
}
