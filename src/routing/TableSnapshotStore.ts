import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { BackendRow } from "../domain/Backend.ts"

export class SnapshotError extends Data.TaggedError("SnapshotError")<{
  readonly path: string
  readonly detail: string
}> {
  override get message(): string {
    return `snapshot ${this.path}: ${this.detail}`
  }
}

export interface StoredTable {
  /** Wall clock, milliseconds. */
  readonly savedAt: number
  readonly rows: ReadonlyArray<BackendRow>
}

/** Keeps the last good table over restarts, so that a start without its source still serves (T3). */
export class TableSnapshotStore extends Context.Service<
  TableSnapshotStore,
  {
    /** Undefined when none was ever saved. */
    readonly load: Effect.Effect<StoredTable | undefined, SnapshotError>
    /** Replaces the stored table as a whole or not at all. */
    readonly save: (table: StoredTable) => Effect.Effect<void, SnapshotError>
  }
>()("edgeproxy/routing/TableSnapshotStore") {
  /** Keeps nothing: EDGEPROXY_SNAPSHOT_PATH is empty. */
  static readonly layerOff: Layer.Layer<TableSnapshotStore> = Layer.succeed(TableSnapshotStore, {
    load: Effect.succeed(undefined),
    save: () => Effect.void
  })

  static readonly layerMemory = (initial?: StoredTable): Layer.Layer<TableSnapshotStore> =>
    Layer.sync(TableSnapshotStore, () => {
      let stored = initial
      return {
        load: Effect.sync(() => stored),
        save: (table) => Effect.sync(() => void (stored = table))
      }
    })
}
