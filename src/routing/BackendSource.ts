import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Stream from "effect/Stream"
import type { BackendRow } from "../domain/Backend.ts"

/** Why a source could not be read. `target` names what was asked: a path, a host. */
export class SourceError extends Data.TaggedError("SourceError")<{
  readonly source: string
  readonly target: string
  readonly reason: "missing" | "unreadable" | "locked" | "corrupt" | "schema" | "unreachable"
  readonly detail: string
}> {
  override get message(): string {
    return `${this.source} ${this.target}: ${this.reason}: ${this.detail}`
  }
}

/** One thing that a look at a source, before it is relied on, has found. */
export interface Sighting {
  /** `warn`: it will do, with less. */
  readonly level: "ok" | "warn"
  readonly text: string
}

export const sighted = (level: Sighting["level"], text: string): Sighting => ({ level, text })

/** What a source tells about its table. */
export type SourceEvent =
  /** All rows, as they are now. */
  | {
      readonly _tag: "Rows"
      readonly rows: ReadonlyArray<BackendRow>
      /** Those of the companion table (D0), where there is one. */
      readonly states?: ReadonlyArray<BackendRow>
    }
  /** Looked, and nothing has changed since the last rows. */
  | { readonly _tag: "Unchanged" }
  /** Could not look. The source goes on trying by itself. */
  | { readonly _tag: "Lost"; readonly error: SourceError }

/** Where backends come from. The stream never fails or ends: losing the source is an event, and it reconnects by itself. */
export class BackendSource extends Context.Service<
  BackendSource,
  {
    readonly name: string
    /** Others write to it: its rows have to pass EDGEPROXY_BACKEND_ALLOW_CIDRS (R9). */
    readonly shared: boolean
    /** Its events have the same object for a row that has not changed: such a row is not decoded again. */
    readonly keepsRows: boolean
    readonly events: Stream.Stream<SourceEvent>
  }
>()("edgeproxy/routing/BackendSource") {}
