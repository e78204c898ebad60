import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { BackendFields } from "../backends/BackendStore.ts"
import { type Backend, type BackendRow, decodeBackend } from "../domain/Backend.ts"
import { REGISTERED } from "../domain/BackendState.ts"
import { CommandError } from "./CommandError.ts"
import type { OpenStore, StoredTable } from "./ConfiguredStore.ts"

/** What was done, and what an operator should know of it. */
export interface Edited {
  readonly done: string
  readonly notes: ReadonlyArray<string>
}

const fail = (message: string) => Effect.fail(new CommandError({ message }))

/** The columns that these fields stand in. */
const columnsOf = (fields: BackendFields): BackendRow => {
  const columns = {
    app: fields.app,
    region: fields.region,
    country: fields.country,
    wg_ip: fields.address,
    port: fields.port,
    healthy: fields.healthy,
    weight: fields.weight,
    soft_limit: fields.softLimit,
    hard_limit: fields.hardLimit
  }
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined))
}

/** The backend that the row stands for, judged as the proxy will judge it (R9). */
const judged = (store: OpenStore, row: BackendRow): Effect.Effect<Backend, CommandError> => {
  const decoded = decodeBackend(row)
  if (decoded._tag === "Deleted") return fail("the row is deleted")
  const reason = decoded._tag === "Bad" ? decoded.reason : refusal(store, decoded.backend)
  if (reason !== undefined) return fail(`this can't be: ${reason.replaceAll("wg_ip:", "ip:")}`)
  return decoded._tag === "Bad" ? fail("this can't be") : Effect.succeed(decoded.backend)
}

const refusal = (store: OpenStore, backend: Backend): string | undefined => {
  // What a name leads to is the running proxy's to judge.
  const refused = backend.named === true ? undefined : store.refuses(backend)
  return refused === undefined ? undefined : `ip: ${refused}`
}

const registeredNotes = (table: StoredTable, id: string, note: string): ReadonlyArray<string> => {
  const state = table.states.get(id)
  return state?.source === REGISTERED ? [`it has registered itself${at(state.owner)}: ${note}`] : []
}

const at = (owner: string): string => (owner === "" ? "" : ` at ${owner}`)

const unknown = (store: OpenStore, id: string) => fail(`${store.name} has no backend ${id}`)

/** Adds a row as if it were written by hand: nobody's heartbeats keep it, and no registration takes its id. */
export const add = Effect.fnUntraced(function* (store: OpenStore, id: string, fields: BackendFields) {
  const backend = yield* judged(store, { id, ...columnsOf(fields) })
  const { rows } = yield* store.read
  if (rows.has(id)) return yield* fail(`${store.name} has a backend ${id} already; \`backends set\` changes it`)
  const now = yield* Clock.currentTimeMillis
  yield* store.write([{ _tag: "Put", backend, owner: "", source: "", at: now }])
  return { done: `added ${id} to ${store.name}`, notes: [] } satisfies Edited
})

/** Sets some fields and leaves the others, also those that others set meanwhile. */
export const set = Effect.fnUntraced(function* (store: OpenStore, id: string, fields: BackendFields) {
  const columns = columnsOf(fields)
  const names = Object.keys(columns)
  if (names.length === 0) return yield* fail("nothing to set; see `edgeproxy backends set --help`")
  const table = yield* store.read
  const row = table.rows.get(id)
  if (row === undefined) return yield* unknown(store, id)
  yield* judged(store, { ...row, ...columns })
  yield* store.write([{ _tag: "Set", id, fields }])
  const notes = registeredNotes(table, id, "its next registration sets these anew")
  return { done: `set ${names.join(", ")} of ${id} in ${store.name}`, notes } satisfies Edited
})

export const remove = Effect.fnUntraced(function* (store: OpenStore, id: string) {
  const table = yield* store.read
  if (!table.rows.has(id)) return yield* unknown(store, id)
  yield* store.write([{ _tag: "Remove", id }])
  const notes = registeredNotes(table, id, "it comes back when it registers again")
  return { done: `removed ${id} from ${store.name}`, notes } satisfies Edited
})

/** H6, by the store: every POP that reads it follows. */
export const setDraining = Effect.fnUntraced(function* (store: OpenStore, id: string, draining: boolean) {
  const { rows } = yield* store.read
  if (!rows.has(id)) return yield* unknown(store, id)
  yield* store.write([{ _tag: "Drain", id, draining }])
  return { done: `${id} is ${draining ? "draining" : "undrained"} in ${store.name}`, notes: [] } satisfies Edited
})
