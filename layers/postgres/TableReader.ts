import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { type Part, type ReadStatement, readStatement } from "./readStatement.ts"
import type { Shape } from "./Shape.ts"
import * as TableCopy from "./TableCopy.ts"

// Rows taken before other work has its turn: less than a millisecond (T2).
const SLICE = 250

type Digests = Partial<Record<Part, TableCopy.Digest>>

/** Both tables as last read, and how to bring them up to date at the least cost. */
export interface TableReader {
  /** Another connection, or other tables: everything is read the next time. */
  readonly reset: (shape: Shape) => void
  /** True when a row has changed. Takes rows as they come, a few hundred at a time (T2); `heard` is called with each. */
  readonly read: (connection: PgConnection, heard: () => void) => Effect.Effect<boolean, SqlError>
  readonly tables: () => {
    readonly rows: ReadonlyArray<BackendRow>
    readonly states: ReadonlyArray<BackendRow> | undefined
  }
}

export const make = (): TableReader => {
  let statement: ReadStatement | undefined
  let versioned: Readonly<Record<Part, boolean>> = { backends: false, states: false }
  let hasStates = false
  let copies: Readonly<Record<Part, TableCopy.TableCopy>> = { backends: TableCopy.make(), states: TableCopy.make() }
  /** Since which transactions may have changed something; undefined when everything has to be read. */
  let horizon: string | undefined
  let digests: Digests = {}

  const parts = (): ReadonlyArray<Part> => (hasStates ? ["backends", "states"] : ["backends"])

  /** Reads into the copies; gives the digests, and the horizon for the next time. */
  const readInto = Effect.fnUntraced(function* (
    { decode, full, newer }: ReadStatement,
    connection: PgConnection,
    heard: () => void
  ) {
    const read: Digests = {}
    let next: string | undefined
    for (const part of parts()) copies[part].begin(horizon === undefined || !versioned[part])
    const rows = horizon === undefined ? connection.stream(full) : connection.stream(newer, [horizon])
    const take = (result: Readonly<Record<string, unknown>>): void => {
      const row = decode(result)
      if (row._tag === "Row") return copies[row.part].take(row.key, row.row, row.version)
      read[row.part] = row
      next = row.horizon
    }
    yield* Stream.runForEachArray(
      rows,
      Effect.fnUntraced(function* (page) {
        heard()
        for (let index = 0; index < page.length; index++) {
          const result = page[index]
          if (result !== undefined) take(result)
          if (index % SLICE === SLICE - 1) yield* Effect.yieldNow
        }
        // Without it the driver would go on for as long as there is something to read.
        yield* Effect.yieldNow
      })
    )
    return { read, next }
  })

  const isSame = (read: Digests): boolean =>
    parts().every(
      (part) => versioned[part] && digests[part]?.count === read[part]?.count && digests[part]?.sum === read[part]?.sum
    )

  const read: TableReader["read"] = Effect.fnUntraced(function* (connection, heard) {
    if (statement === undefined) return false
    const since = horizon
    const first = yield* readInto(statement, connection, heard)
    // Must not be taken for up to date if what follows fails.
    horizon = undefined
    let { next } = first
    const wasSame = since !== undefined && isSame(first.read)
    let adds = true
    for (const part of parts()) {
      if (!copies[part].end(first.read[part] ?? { count: 0, sum: 0 }) && !wasSame) adds = false
    }
    digests = first.read
    if (!adds) {
      const again = yield* readInto(statement, connection, heard)
      for (const part of parts()) copies[part].end(again.read[part] ?? { count: 0, sum: 0 })
      ;({ next } = again)
      digests = again.read
    }
    horizon = next
    return parts().some((part) => copies[part].hasChanged())
  })

  return {
    reset: (shape) => {
      const before = statement?.full
      statement = readStatement(shape)
      if (statement.full !== before) copies = { backends: TableCopy.make(), states: TableCopy.make() }
      versioned = { backends: shape.backends?.versioned ?? false, states: shape.states?.versioned ?? false }
      hasStates = shape.states?.readable === true
      horizon = undefined
      digests = {}
    },
    read,
    tables: () => ({ rows: copies.backends.rows(), states: hasStates ? copies.states.rows() : undefined })
  }
}
