import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import { type Backend, type BackendRow, decodeBackend, sameBackend } from "../domain/Backend.ts"
import type { Shrink } from "../domain/TableGate.ts"

export type Backends = ReadonlyMap<string, Backend>

/** Rows once decoded: the backends by id, and the bad rows with their reasons (R9). */
export interface DecodedTable {
  readonly backends: Backends
  /** Row's id -> reason. */
  readonly quarantined: ReadonlyMap<string, string>
}

/** What must happen to get from one table to the next. */
export interface TableDiff {
  readonly put: ReadonlyArray<Backend>
  readonly drop: ReadonlyArray<string>
  readonly shrink: Shrink
}

// So that a table of nothing but bad rows cannot fill the memory with reasons.
const MAX_QUARANTINED = 10_000
// Bad rows of one id that are told apart; more are as good as the last.
const MAX_NAMESAKES = 20

/** Decodes each row on its own; of rows with the same id the first counts. */
export const decodeTable = Effect.fnUntraced(function* (rows: ReadonlyArray<BackendRow>) {
  const backends = new Map<string, Backend>()
  const quarantined = new Map<string, string>()
  const quarantine = (id: string, reason: string): void => {
    if (quarantined.size >= MAX_QUARANTINED) return
    let name = id
    for (let next = 2; quarantined.has(name) && next <= MAX_NAMESAKES; next++) name = `${id} (${next})`
    quarantined.set(name, reason)
  }
  yield* forEachSliced(rows, (row) => {
    const decoded = decodeBackend(row)
    if (decoded._tag === "Deleted") return
    if (decoded._tag === "Bad") quarantine(decoded.id, decoded.reason)
    else if (backends.has(decoded.backend.id)) quarantine(decoded.backend.id, "id: another row has the same id")
    else backends.set(decoded.backend.id, decoded.backend)
  })
  return { backends, quarantined } satisfies DecodedTable
})

export const diffTables = Effect.fnUntraced(function* (before: Backends, after: Backends) {
  const put: Array<Backend> = []
  const drop: Array<string> = []
  let eligible = 0
  let lost = 0
  yield* forEachSliced(after.values(), (backend) => {
    const known = before.get(backend.id)
    if (known === undefined || !sameBackend(known, backend)) put.push(backend)
  })
  yield* forEachSliced(before.values(), (backend) => {
    const next = after.get(backend.id)
    if (next === undefined) drop.push(backend.id)
    if (!backend.healthy) return
    eligible++
    if (next?.healthy !== true) lost++
  })
  return { put, drop, shrink: { eligible, lost } } satisfies TableDiff
})
