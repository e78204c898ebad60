/**
 * Rows of counters in typed arrays: a few nanoseconds to count, nothing for the garbage collector to look at however many
 * rows there are, and no growth step that copies. Row 0 is a bin: what is added to it is never read, so a row that has been
 * given back can be written to without harm once its holder's number is set to {@link BIN}.
 */
export interface Tallies {
  /** A row of zeros. */
  readonly allocate: () => number
  /** The row may go to another holder. */
  readonly free: (row: number) => void
  readonly add: (row: number, column: number, amount: number) => void
  readonly get: (row: number, column: number) => number
  /** The array that holds the row, for who counts into several columns, and where the row begins in it. */
  readonly arrayOf: (row: number) => Float64Array
  readonly offsetOf: (row: number) => number
}

export const BIN = 0

const CHUNK_BITS = 10
const CHUNK = 1 << CHUNK_BITS
const CHUNK_MASK = CHUNK - 1

export const make = (columns: number): Tallies => {
  const first = new Float64Array(CHUNK * columns)
  const chunks: Array<Float64Array> = [first]
  const released: Array<number> = []
  let next = BIN + 1

  const arrayOf = (row: number): Float64Array => chunks[row >>> CHUNK_BITS] ?? first
  const offsetOf = (row: number): number => (row & CHUNK_MASK) * columns

  return {
    allocate: () => {
      const row = released.pop()
      if (row !== undefined) return row
      if (next === chunks.length * CHUNK) chunks.push(new Float64Array(CHUNK * columns))
      return next++
    },
    free: (row) => {
      if (row === BIN) return
      const start = offsetOf(row)
      arrayOf(row).fill(0, start, start + columns)
      released.push(row)
    },
    add: (row, column, amount) => {
      const array = arrayOf(row)
      const at = offsetOf(row) + column
      array[at] = (array[at] ?? 0) + amount
    },
    get: (row, column) => arrayOf(row)[offsetOf(row) + column] ?? 0,
    arrayOf,
    offsetOf
  }
}
