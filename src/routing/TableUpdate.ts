import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import {
  type Backend,
  type BackendRow,
  decodeBackend,
  type DecodedRow,
  isInRotation,
  sameBackend,
  withState
} from "../domain/Backend.ts"
import { type BackendState, decodeState } from "../domain/BackendState.ts"
import type { Shrink } from "../domain/TableGate.ts"

export type Backends = ReadonlyMap<string, Backend>

/** Rows once decoded: the backends by id, and the bad rows with their reasons (R9). */
export interface DecodedTable {
  readonly backends: Backends
  /** Row's id -> reason. */
  readonly quarantined: ReadonlyMap<string, string>
  /** Of the rows that are left out, as they are: nobody else may take them. */
  readonly badIds: ReadonlySet<string>
  /** What is known of backends beside their rows (D0), by id; also of some that have none. */
  readonly states: ReadonlyMap<string, BackendState>
}

/** What must happen to get from one table to the next. */
export interface TableDiff {
  readonly put: ReadonlyArray<Backend>
  readonly drop: ReadonlyArray<string>
  readonly shrink: Shrink
  /** Those that leave the rotation, by id. */
  readonly lost: ReadonlyArray<string>
}

// So that a table of nothing but bad rows cannot fill the memory with reasons.
const MAX_QUARANTINED = 10_000
// Bad rows of one id that are told apart; more are as good as the last.
const MAX_NAMESAKES = 20

const neutral = { draining: false, expired: false }

export interface DecodeOptions {
  readonly states?: ReadonlyArray<BackendRow>
  /** Why a backend may not be where it says it is; undefined when it may. */
  readonly refuses?: (backend: Backend) => string | undefined
  /** What rows were decoded to before: those that are still there are not decoded again. It is replaced by what they are now. */
  readonly known?: { rows: Map<BackendRow, DecodedRow> }
}

/** Decodes each row on its own; of rows with the same id the first counts. */
export const decodeTable = Effect.fnUntraced(function* (rows: ReadonlyArray<BackendRow>, options: DecodeOptions = {}) {
  const { known, refuses, states: stateRows } = options
  const decodedNow = new Map<BackendRow, DecodedRow>()
  const states = new Map<string, BackendState>()
  yield* forEachSliced(stateRows ?? [], (row) => {
    const state = decodeState(row)
    if (state !== undefined) states.set(state.id, state)
  })
  const decode = (row: BackendRow): DecodedRow => {
    const decoded = decodeBackend(row)
    // What a name leads to is judged when it is known.
    const isPlace = decoded._tag === "Backend" && decoded.backend.named === undefined
    const refused = isPlace ? refuses?.(decoded.backend) : undefined
    return decoded._tag === "Backend" && refused !== undefined
      ? { _tag: "Bad", id: decoded.backend.id, reason: `wg_ip: ${refused}` }
      : decoded
  }
  const backends = new Map<string, Backend>()
  const quarantined = new Map<string, string>()
  const badIds = new Set<string>()
  const quarantine = (id: string, reason: string): void => {
    if (quarantined.size >= MAX_QUARANTINED) return
    let name = id
    for (let next = 2; quarantined.has(name) && next <= MAX_NAMESAKES; next++) name = `${id} (${next})`
    quarantined.set(name, reason)
  }
  yield* forEachSliced(rows, (row) => {
    const decoded = known?.rows.get(row) ?? decode(row)
    if (known !== undefined) decodedNow.set(row, decoded)
    if (decoded._tag === "Deleted") return
    if (decoded._tag === "Bad") {
      const id = row["id"]
      // A longer one is nobody's.
      if (typeof id === "string" && id.length <= 128) badIds.add(id)
      quarantine(decoded.id, decoded.reason)
    } else if (backends.has(decoded.backend.id)) quarantine(decoded.backend.id, "id: another row has the same id")
    else if (stateRows === undefined) backends.set(decoded.backend.id, decoded.backend)
    else backends.set(decoded.backend.id, withState(decoded.backend, states.get(decoded.backend.id) ?? neutral))
  })
  if (known !== undefined) known.rows = decodedNow
  return { backends, quarantined, badIds, states } satisfies DecodedTable
})

export const diffTables = Effect.fnUntraced(function* (before: Backends, after: Backends) {
  const put: Array<Backend> = []
  const drop: Array<string> = []
  let eligible = 0
  const lost: Array<string> = []
  yield* forEachSliced(after.values(), (backend) => {
    const known = before.get(backend.id)
    if (known !== backend && (known === undefined || !sameBackend(known, backend))) put.push(backend)
  })
  yield* forEachSliced(before.values(), (backend) => {
    const next = after.get(backend.id)
    if (next === undefined) drop.push(backend.id)
    if (!isInRotation(backend)) return
    eligible++
    if (next === undefined || !isInRotation(next)) lost.push(backend.id)
  })
  return { put, drop, shrink: { eligible, lost: lost.length }, lost } satisfies TableDiff
})
