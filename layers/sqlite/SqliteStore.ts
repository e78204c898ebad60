import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Reactivity from "effect/reactivity/Reactivity"
import { existsSync } from "node:fs"
import { BackendStore, type StoreChange, StoreError } from "../../src/backends/BackendStore.ts"
import { statementsOf } from "../../src/backends/statements.ts"
import { createStates } from "./schema.ts"
import { storeError } from "./sqliteError.ts"

export interface SqliteStoreOptions {
  readonly path: string
}

// Two seconds in all: whoever holds the lock for longer holds it for good.
const lockPatience = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(40)])

/**
 * Writes to the routing table of an SQLite file, beside the rows that are written by hand. The file is opened for each write
 * and closed after it: it may be replaced at any time, and its journal mode is its owner's.
 */
export const layer = ({ path }: SqliteStoreOptions): Layer.Layer<BackendStore> =>
  Layer.succeed(BackendStore, {
    name: "sqlite",
    write: Effect.fnUntraced(
      function* (changes: ReadonlyArray<StoreChange>) {
        // Opening would create it, and an empty table is nothing to begin with.
        if (!existsSync(path)) {
          return yield* new StoreError({ store: "sqlite", target: path, reason: "unavailable", detail: "no such file" })
        }
        const client = yield* SqliteClient.make({ filename: path, disableWAL: true })
        const write = Effect.gen(function* () {
          yield* client.unsafe(createStates)
          const found = yield* client.unsafe<{ name: string }>("SELECT name FROM pragma_table_info('backends')")
          const columns = new Set(found.map(({ name }) => name.toLowerCase()))
          for (const change of changes) {
            for (const { params, sql } of statementsOf(change, (column) => columns.has(column))) {
              yield* client.unsafe(sql, params)
            }
          }
        })
        yield* client.withTransaction(write)
      },
      (write) => write.pipe(Effect.scoped, Effect.provide(Reactivity.layer)),
      Effect.mapError((error) => (error instanceof StoreError ? error : storeError(path, error))),
      Effect.catchDefect((defect) => Effect.fail(storeError(path, defect))),
      Effect.retry({ schedule: lockPatience, while: ({ reason }) => reason === "timeout" })
    )
  })
