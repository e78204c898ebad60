import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BackendStore, type StoreChange } from "../backends/BackendStore.ts"
import { type Backend, type BackendRow, decodeBackend } from "../domain/Backend.ts"
import { BackendSource } from "../routing/BackendSource.ts"
import { type DecodedTable, decodeTable } from "../routing/TableUpdate.ts"
import type { ConfigError } from "../config/ConfigError.ts"
import type { ReplayOptions } from "../replay/replay.ts"
import { CommandError } from "./CommandError.ts"

/** What stands in the store. */
export interface StoredTable extends DecodedTable {
  /** The rows that are not deleted, by id, as they are; of several with one id the first. */
  readonly rows: ReadonlyMap<string, BackendRow>
}

/** The table where it lives, opened with an operator's authority: no running process is asked. */
export interface OpenStore {
  /** What it is, for people: `sqlite routing.db`. */
  readonly name: string
  /** Why a backend may not be where it says it is (R9); undefined when it may. */
  readonly refuses: (backend: Backend) => string | undefined
  readonly read: Effect.Effect<StoredTable, CommandError>
  readonly write: (changes: ReadonlyArray<StoreChange>) => Effect.Effect<void, CommandError>
}

export class ConfiguredStore extends Context.Service<
  ConfiguredStore,
  {
    /** The configured one; or a SQLite file, which is only read. */
    readonly open: (sqlite?: string) => Effect.Effect<OpenStore, CommandError | ConfigError, Scope.Scope>
    /** How a process with this configuration chooses. */
    readonly routing: Effect.Effect<ReplayOptions, ConfigError>
  }
>()("edgeproxy/cli/ConfiguredStore") {}

// Longer than any store's own time limits, which tell more.
const READ_TIMEOUT = Duration.seconds(60)

/** The store as a command uses it, from its two halves: the source is read once. */
export const make = Effect.fnUntraced(function* (about: Pick<OpenStore, "name" | "refuses">) {
  const source = yield* BackendSource
  const store = yield* BackendStore

  const read = Effect.gen(function* () {
    const first = yield* source.events.pipe(
      Stream.filter((event) => event._tag !== "Unchanged"),
      Stream.runHead,
      Effect.timeoutOrElse({
        duration: READ_TIMEOUT,
        orElse: () => Effect.fail(new CommandError({ message: `${about.name}: no answer` }))
      })
    )
    const event = Option.getOrUndefined(first)
    if (event === undefined) return yield* new CommandError({ message: `${about.name}: nothing to read` })
    if (event._tag === "Lost") return yield* new CommandError({ message: event.error.message })
    const states = event.states === undefined ? {} : { states: event.states }
    const table = yield* decodeTable(event.rows, { ...states, refuses: about.refuses })
    const rows = new Map<string, BackendRow>()
    for (const row of event.rows) {
      const id = row["id"]
      if (typeof id === "string" && !rows.has(id) && decodeBackend(row)._tag !== "Deleted") rows.set(id, row)
    }
    return { ...table, rows } satisfies StoredTable
  })

  return {
    ...about,
    read,
    write: (changes) =>
      Effect.mapError(store.write(changes), ({ message }) => new CommandError({ message: `not changed: ${message}` }))
  } satisfies OpenStore
})
