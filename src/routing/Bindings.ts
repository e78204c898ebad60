import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { Supervisor } from "../actor/Supervisor.ts"
import { isExpired } from "../domain/Binding.ts"
import type { ClientKey } from "../domain/Client.ts"
import { monotonicMs } from "../actor/Monotonic.ts"
import * as BindingTable from "./BindingTable.ts"

export interface BindingsOptions {
  /** Sliding; 0 turns affinity off. */
  readonly ttlMs: number
  readonly gcIntervalMs: number
  readonly max: number
}

/** A binding that holds: the entry and the backend it names. */
export interface BoundTo {
  readonly index: number
  readonly backend: number
  /** Connections open through it (A4). */
  readonly open: number
}

/** What came of a rehearsal. */
export interface Rehearsal<A> {
  readonly result: A
  /** The binding that was found last. `leftMs`: until it expires; undefined while connections hold it. */
  readonly found: (BoundTo & { readonly leftMs: number | undefined }) | undefined
}

/** Client affinity (A1-A3): a bounded table with a sliding TTL, collected on an interval. Synchronous but for its collector. */
export class Bindings extends Context.Service<
  Bindings,
  {
    /** Never an expired one. Does not slide the TTL. */
    readonly find: (key: ClientKey, app: number) => BoundTo | undefined
    /** Binds, or slides the TTL of a binding that already names this backend; counts the connection as open. */
    readonly bind: (key: ClientKey, app: number, backend: number) => BindingTable.BindingRef | undefined
    /** The connection has ended; its TTL runs from now on. */
    readonly close: (ref: BindingTable.BindingRef) => void
    /** The connection came to nothing: like `close`, but a binding that no other connection holds is forgotten. */
    readonly cancel: (ref: BindingTable.BindingRef) => void
    /** Runs `act` as if for real, except that nothing is bound. */
    readonly rehearse: <A>(act: () => A) => Rehearsal<A>
    readonly size: () => number
    readonly evictions: () => number
  }
>()("edgeproxy/routing/Bindings") {
  static readonly layer = (options: BindingsOptions): Layer.Layer<Bindings, never, Supervisor> =>
    Layer.effect(Bindings, make(options))
}

// Entries looked at before other work gets its turn: far below a millisecond.
const GC_SLICE = 2_000

export const make = Effect.fnUntraced(function* (options: BindingsOptions) {
  const { max, ttlMs } = options
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const table = BindingTable.make(max)

  const collect = Effect.gen(function* () {
    let total = 0
    while (true) {
      const { removed, seen } = table.expire(now(), ttlMs, GC_SLICE)
      total += removed
      if (seen < GC_SLICE) break
      yield* Effect.yieldNow
    }
    if (total > 0) yield* Effect.logDebug("expired bindings collected", { removed: total, kept: table.size() })
  })
  if (ttlMs > 0) {
    yield* supervisor.supervise("bindings-gc", collect.pipe(Effect.schedule(Schedule.spaced(options.gcIntervalMs))))
  }

  // While set, nothing is bound.
  let rehearsal: { found: BoundTo | undefined } | undefined

  return Bindings.of({
    find: (key, app) => {
      if (ttlMs <= 0) return undefined
      const index = table.find(key, app)
      if (index < 0) return undefined
      const open = table.openOf(index)
      if (isExpired({ lastUsed: table.lastUsedOf(index), open }, now(), ttlMs)) return undefined
      const bound = { index, backend: table.backendOf(index), open }
      if (rehearsal !== undefined) rehearsal.found = bound
      return bound
    },
    bind: (key, app, backend) => {
      if (ttlMs <= 0 || rehearsal !== undefined) return undefined
      let index = table.find(key, app)
      if (index >= 0 && table.backendOf(index) === backend) table.touch(index, now())
      else index = table.put(key, app, backend, now())
      return table.open(index)
    },
    close: (ref) => table.close(ref, now()),
    cancel: (ref) => {
      if (!table.close(ref, now())) return
      if (table.openOf(ref.index) === 0) table.remove(ref.index)
    },
    rehearse: (act) => {
      const seen: { found: BoundTo | undefined } = { found: undefined }
      rehearsal = seen
      const result = Result.try(act)
      rehearsal = undefined
      if (Result.isFailure(result)) throw result.failure
      const { found } = seen
      const leftMs = found === undefined || found.open > 0 ? undefined : ttlMs - (now() - table.lastUsedOf(found.index))
      return { result: result.success, found: found === undefined ? undefined : { ...found, leftMs } }
    },
    size: table.size,
    evictions: table.evictions
  })
})
