import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { type Backend, type BackendRow, decodeBackend, sameBackend } from "../domain/Backend.ts"
import { type BackendState, REGISTERED } from "../domain/BackendState.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { connectionsOf, unobserved } from "../routing/Upstream.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import type { AddressPolicy } from "./addressPolicy.ts"
import { type BackendView, circuitNameOf, stateNameOf } from "./BackendView.ts"
import type { BackendStore, StoreChange, StoreError } from "./BackendStore.ts"
import * as Ownership from "./Ownership.ts"
import * as StoreWriter from "./StoreWriter.ts"

/** Why the registry did not do what it was asked. */
export class RegistryError extends Data.TaggedError("RegistryError")<{
  /**
   * `unknown`: no such backend (404). `foreign`: the id is of a row that was written by hand, which is not the registry's to
   * change (409). `invalid`: what is said of it can't be (400). `address`: it may not live there (403). `not-durable`: the
   * store could not take it (503). `busy`: too much waits for the store (503).
   */
  readonly reason: "unknown" | "foreign" | "invalid" | "address" | "not-durable" | "busy"
  readonly id: string
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

/**
 * Backends that come and go by themselves (D1, D2, D5, D6). What is acknowledged is durable. Heartbeats are kept in memory and
 * written rarely. Who is no longer heard of leaves the rotation after the TTL and the table after ten of them, by the word of
 * the POP that owns it; ownership goes to the POP that hears from it.
 */
export class Registry extends Context.Service<
  Registry,
  {
    /** Takes a row of the backends table, untrusted as it came. */
    readonly register: (row: BackendRow) => Effect.Effect<"created" | "known", RegistryError>
    readonly heartbeat: (id: string) => Effect.Effect<void, RegistryError>
    readonly deregister: (id: string) => Effect.Effect<void, RegistryError>
    /** Of any backend, also one that was written by hand (H6). */
    readonly setDraining: (id: string, draining: boolean) => Effect.Effect<void, RegistryError>
    readonly get: (id: string) => BackendView | undefined
    readonly list: () => Iterable<BackendView>
    /** Rows that are not used, with the reason. */
    readonly quarantined: () => ReadonlyMap<string, string>
    /** How many have registered and are still in the table, here or at another POP. */
    readonly registered: () => number
  }
>()("edgeproxy/backends/Registry") {
  static readonly layer = (
    options: RegistryOptions
  ): Layer.Layer<Registry, never, BackendStore | RoutingTable | Supervisor | Upstreams> =>
    Layer.effect(Registry, make(options))
}

export interface RegistryOptions extends Ownership.OwnershipOptions {
  readonly policy: AddressPolicy
}

const LOOK_MS = 1_000
/** A table that has not changed is gone through only with every so manyth look. */
const WHOLE_LOOK = 10
/** The source may take so long to show what was written. */
const PATIENCE_MS = 30_000
/** Changes of one write; a store may have limits. */
const BATCH = 256

const fail = (reason: RegistryError["reason"], id: string, detail: string) =>
  Effect.fail(new RegistryError({ reason, id, detail }))

const notDurable = (id: string) => (error: StoreError | StoreWriter.Busy) =>
  error instanceof StoreWriter.Busy
    ? fail("busy", id, "too many changes wait for the store")
    : Effect.andThen(
        Effect.logWarning("a change could not be made durable", error.message),
        fail("not-durable", id, `the store could not take it: ${error.reason}`)
      )

export const make = Effect.fnUntraced(
  function* (options: RegistryOptions) {
    const { policy, pop } = options
    const table = yield* RoutingTable
    const upstreams = yield* Upstreams
    const supervisor = yield* Supervisor
    const writer = yield* StoreWriter.make
    const now = yield* monotonicMs
    const scope = yield* Effect.scope
    const ownership = Ownership.make(options)
    /** Written here, and not yet shown by the source. */
    const fresh = new Map<string, { readonly state: BackendState | undefined; readonly until: number }>()
    let failing = false
    let seen: unknown
    let looks = 0

    const current = () => SubscriptionRef.getUnsafe(table.snapshot)

    const stateOf = (id: string): BackendState | undefined => {
      const shown = current().states.get(id)
      const own = fresh.get(id)
      if (own === undefined) return shown
      if (own.until > now() && own.state?.source !== shown?.source) return own.state
      fresh.delete(id)
      return shown
    }

    const isRegistered = (id: string): boolean => stateOf(id)?.source === REGISTERED

    /** Durable first, then in force here. Whoever asked may go away; what was begun is done. */
    const change = Effect.fnUntraced(function* (made: StoreChange, backend: Backend | undefined) {
      const id = made._tag === "Put" ? made.backend.id : made.id
      yield* writer.write([made]).pipe(Effect.catch(notDurable(id)))
      yield* table.apply([{ id, backend }])
    }, Effect.uninterruptible)

    const claim = Effect.fnUntraced(function* (id: string, registered: boolean) {
      const wall = yield* Clock.currentTimeMillis
      const times = ownership.times(id)
      ownership.claim(id, now(), wall, registered)
      const state: BackendState = {
        id,
        owner: pop,
        source: REGISTERED,
        draining: false,
        expired: false,
        registeredAt: registered ? wall : (times?.registeredAt ?? wall),
        heartbeatAt: wall
      }
      if (registered) fresh.set(id, { state, until: now() + PATIENCE_MS })
    })

    const register = Effect.fnUntraced(function* (row: BackendRow) {
      const snapshot = current()
      const named = typeof row["id"] === "string" ? row["id"] : ""
      if (snapshot.origin !== "source") return yield* fail("busy", named, "the table could not be read yet")
      const decoded = decodeBackend(row)
      if (decoded._tag !== "Backend") {
        return yield* fail("invalid", named, decoded._tag === "Bad" ? decoded.reason : "deleted: it can't be")
      }
      const { address, id, port } = decoded.backend
      const refused = policy({ address, port })
      if (refused !== undefined) return yield* fail("address", id, refused)
      const known = isRegistered(id)
      const existing = snapshot.backends.get(id)
      if (!known && (existing !== undefined || snapshot.quarantined.has(JSON.stringify(id)))) {
        return yield* fail("foreign", id, "a row of this id was written by hand; only by hand it is changed")
      }
      const backend: Backend = {
        ...decoded.backend,
        healthy: existing?.healthy ?? true,
        draining: existing?.draining ?? false,
        expired: false
      }
      const wall = yield* Clock.currentTimeMillis
      // Some register again and again instead of sending heartbeats.
      if (known && existing !== undefined && sameBackend(existing, backend) && ownership.heard(id, now(), wall)) {
        return "known" as const
      }
      yield* change({ _tag: "Put", backend, owner: pop, source: REGISTERED, at: wall }, backend)
      yield* claim(id, true)
      yield* Effect.logInfo(known ? "backend registered again" : "backend registered", { id, app: backend.app })
      return known ? ("known" as const) : ("created" as const)
    })

    const heartbeat = Effect.fnUntraced(function* (id: string) {
      const wall = yield* Clock.currentTimeMillis
      const { backends, origin } = current()
      const existing = backends.get(id)
      // A stored table does not tell who has registered, and nobody is to be removed for that.
      if (existing !== undefined && origin === "snapshot") return
      if (existing === undefined || !isRegistered(id)) return yield* fail("unknown", id, "backend not registered")
      if (!existing.expired && ownership.heard(id, now(), wall)) return
      const heard: StoreChange = { _tag: "Heartbeat", id, owner: pop, at: wall }
      if (existing.expired) {
        yield* change(heard, { ...existing, expired: false })
        yield* Effect.logInfo("backend is heard of again", { id })
      } else {
        // It will be said again: nobody has to wait for the store.
        yield* Effect.forkIn(Effect.ignore(writer.write([heard])), scope)
      }
      yield* claim(id, false)
    })

    const existingOf = Effect.fnUntraced(function* (id: string) {
      return current().backends.get(id) ?? (yield* fail("unknown", id, "backend not registered"))
    })

    const deregister = Effect.fnUntraced(function* (id: string) {
      if (!isRegistered(id)) {
        yield* existingOf(id)
        return yield* fail("foreign", id, "a row of this id was written by hand; only by hand it is removed")
      }
      yield* change({ _tag: "Remove", id }, undefined)
      ownership.forget(id)
      fresh.set(id, { state: undefined, until: now() + PATIENCE_MS })
      yield* Effect.logInfo("backend deregistered", { id })
    })

    const setDraining = Effect.fnUntraced(function* (id: string, draining: boolean) {
      const existing = yield* existingOf(id)
      yield* change({ _tag: "Drain", id, draining }, { ...existing, draining })
      yield* Effect.logInfo(draining ? "backend drains" : "backend drains no more", { id })
    })

    /** Writes what time has brought; what can't be written is due again with the next look. */
    const carryOut = Effect.fnUntraced(function* ({ changes, expired, removed }: Ownership.Verdicts) {
      if (changes.length === 0) return
      const gone = new Set(removed)
      const local = [...expired, ...removed].flatMap((id) => {
        const backend = current().backends.get(id)
        return backend === undefined ? [] : [{ id, backend: gone.has(id) ? undefined : { ...backend, expired: true } }]
      })
      // Out of rotation at once, whether or not the store can be told.
      if (local.length > 0) yield* table.apply(local)
      for (let from = 0; from < changes.length; from += BATCH) {
        yield* writer.write(changes.slice(from, from + BATCH))
      }
      for (const id of expired) ownership.expire(id)
      for (const id of removed) {
        ownership.forget(id)
        fresh.set(id, { state: undefined, until: now() + PATIENCE_MS })
      }
      if (expired.length > 0)
        yield* Effect.logWarning("backends are not heard of any more", {
          ids: expired.slice(0, 20),
          count: expired.length
        })
      if (removed.length > 0)
        yield* Effect.logWarning("silent backends removed", { ids: removed.slice(0, 20), count: removed.length })
    })

    const look = Effect.gen(function* () {
      const { origin, states } = current()
      if (origin !== "source") return
      const wall = yield* Clock.currentTimeMillis
      const unchanged = states === seen && ++looks % WHOLE_LOOK !== 0
      seen = states
      if (table.status().lost !== undefined) ownership.lookAway()
      else if (!unchanged) {
        yield* forEachSliced(states.values(), (state) => ownership.see(state, now(), wall))
        ownership.keepOnly((id) => isRegistered(id), now())
      }
      for (const [id, { until }] of fresh) if (until <= now()) fresh.delete(id)
      yield* carryOut(ownership.due(now(), wall)).pipe(
        Effect.andThen(() => Effect.sync(() => (failing = false))),
        Effect.catch((error) => {
          if (failing) return Effect.void
          failing = true
          return Effect.logWarning(
            "the state of backends can't be written",
            error instanceof StoreWriter.Busy ? "busy" : error.message
          )
        })
      )
    })

    yield* supervisor.supervise("registry", Effect.forever(Effect.andThen(look, Effect.sleep(LOOK_MS))))

    const viewOf = (backend: Backend): BackendView => {
      const state = stateOf(backend.id)
      const times = ownership.times(backend.id)
      const upstream = upstreams.get(backend.id)
      const observed = upstream?.observed ?? unobserved
      const registered = state?.source === REGISTERED
      return {
        id: backend.id,
        app: backend.app,
        region: backend.region,
        country: backend.country,
        address: backend.address,
        port: backend.port,
        healthy: backend.healthy && !backend.expired,
        weight: backend.weight,
        softLimit: backend.softLimit,
        hardLimit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
        connections: upstream === undefined ? 0 : connectionsOf(upstream),
        source: registered ? "api" : "table",
        owner: registered ? (times === undefined ? state.owner : pop) : undefined,
        state: stateNameOf(backend, observed),
        circuit: circuitNameOf(observed),
        checkError: observed.checkError,
        share: observed.share,
        registeredAt: registered ? times?.registeredAt || state.registeredAt || undefined : undefined,
        lastHeartbeatAt: registered ? times?.heardAt || state.heartbeatAt || undefined : undefined
      }
    }

    let counted: { readonly states: unknown; readonly count: number } | undefined

    return Registry.of({
      register,
      heartbeat,
      deregister,
      setDraining,
      get: (id) => {
        const backend = current().backends.get(id)
        return backend === undefined ? undefined : viewOf(backend)
      },
      list: function* () {
        for (const backend of current().backends.values()) yield viewOf(backend)
      },
      quarantined: () => current().quarantined,
      registered: () => {
        const { states } = current()
        if (counted?.states !== states) {
          let count = 0
          for (const { source } of states.values()) if (source === REGISTERED) count++
          counted = { states, count }
        }
        let more = 0
        for (const [id, { state }] of fresh)
          more += Number(state !== undefined) - Number(states.get(id)?.source === REGISTERED)
        return counted.count + more
      }
    })
  },
  Effect.annotateLogs({ service: "registry" })
)
