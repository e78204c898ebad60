import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Backend } from "../domain/Backend.ts"

/** Why a change could not be made durable. `target` names what was asked: a path, a host. */
export class StoreError extends Data.TaggedError("StoreError")<{
  readonly store: string
  readonly target: string
  /** `rejected`: the store has understood, and said no to this change; another one may pass. */
  readonly reason: "unavailable" | "timeout" | "readonly" | "schema" | "rejected"
  readonly detail: string
}> {
  override get message(): string {
    return `${this.store} ${this.target}: ${this.reason}: ${this.detail}`
  }
}

/** What of a backend may be set apart from the rest. */
export interface BackendFields {
  readonly app?: string
  readonly region?: string
  readonly country?: string
  readonly address?: string
  readonly port?: number
  readonly healthy?: boolean
  readonly weight?: number
  readonly softLimit?: number
  /** 0 for none. */
  readonly hardLimit?: number
}

/** A change of one backend. All are idempotent: whoever does not know whether one was made makes it again. */
export type StoreChange =
  /** The row as a whole, new or not, and who answers for it. A drain, and what an operator says of its health, stay. */
  | {
      readonly _tag: "Put"
      readonly backend: Backend
      readonly owner: string
      /** `api`, or "" for a row as if written by hand. */
      readonly source: string
      /** Wall clock, milliseconds. */
      readonly at: number
    }
  | { readonly _tag: "Set"; readonly id: string; readonly fields: BackendFields }
  /** It was heard of, here: takes ownership, ends its expiry. */
  | { readonly _tag: "Heartbeat"; readonly id: string; readonly owner: string; readonly at: number }
  | { readonly _tag: "Expire"; readonly id: string; readonly owner: string }
  | { readonly _tag: "Drain"; readonly id: string; readonly draining: boolean }
  /** The state of a backend whose row is gone. */
  | { readonly _tag: "Forget"; readonly id: string }
  /** The row and its state. */
  | { readonly _tag: "Remove"; readonly id: string }

/** Where changes of the table are made durable. What is written comes back through the `BackendSource`, here and at other POPs. */
export class BackendStore extends Context.Service<
  BackendStore,
  {
    readonly name: string
    /** All of the changes or none, in order; durable when it succeeds. It waits no longer than the store's own time limit. */
    readonly write: (changes: ReadonlyArray<StoreChange>) => Effect.Effect<void, StoreError>
  }
>()("edgeproxy/backends/BackendStore") {
  /** Keeps nothing but the list of what was written. */
  static readonly layerMemory = (written: Array<StoreChange>): Layer.Layer<BackendStore> =>
    Layer.succeed(BackendStore, {
      name: "memory",
      write: (changes) => Effect.sync(() => void written.push(...changes))
    })
}
