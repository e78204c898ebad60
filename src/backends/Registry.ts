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
import type { LocalChange } from "../routing/LocalChanges.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import type { AddressPolicy } from "./addressPolicy.ts"
import { type BackendView, backendView } from "./BackendView.ts"
import type { BackendStore, StoreChange, StoreError } from "./BackendStore.ts"
import * as FreshStates from "./FreshStates.ts"
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
    /** The last change could not be made durable. */
    readonly storeFails: () => boolean
    readonly store: () => StoreWriter.StoreCounts
  }
>()("edgeproxy/backends/Registry") {
  static readonly layer = (
    options: RegistryOptions
  ): Layer.Layer<Registry, never, BackendStore | RoutingTable | Supervisor | Upstreams> =>
    Layer.effect(Registry, make(options))
}

export interface RegistryOptions extends Ownership.OwnershipOptions {
  readonly policy: AddressPolicy
  /** Whether another process has taken over, which hears the heartbeats now: silence says nothing here any more. */
  readonly isRetired?: () => boolean
  /** Most backends that may have registered, at all POPs; none more is taken here. */
  readonly most?: number
}

const MOST = 100_000

const LOOK_MS = 1_000
/** A table that has not changed is gone through only with every so manyth look. */
const WHOLE_LOOK = 10
const NOT_READ = "the table could not be read yet"

/** Changes of one write; a store may have limits. */
const BATCH = 256

const fail = (reason: RegistryError["reason"], id: string, detail: string) =>
  Effect.fail(new RegistryError({ reason, id, detail }))

/** A state without its row is forgotten after so long: the two may come one after the other. */
const STRAY_MS = 60_000

/** So many are named in a log line. */
const told = (ids: ReadonlyArray<string>) => ({ ids: ids.slice(0, 20), count: ids.length })

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
    const fresh = FreshStates.make()
    /** States without a row, and since when. */
    const strays = new Map<string, number>()
    let failing = false
    let seen: unknown
    let looks = 0

    const current = () => SubscriptionRef.getUnsafe(table.snapshot)

    const stateOf = (id: string): BackendState | undefined => fresh.stateOf(id, current().states, now())

    const note = (id: string, state: BackendState | undefined): void => fresh.note(id, state, current().states, now())

    const isRegistered = (id: string): boolean => stateOf(id)?.source === REGISTERED

    const notDurable = (id: string) =>
      Effect.fnUntraced(function* (error: StoreError | StoreWriter.Busy) {
        if (error instanceof StoreWriter.Busy) return yield* fail("busy", id, "too many changes wait for the store")
        if (!failing) yield* Effect.logWarning("changes can't be made durable", error.message)
        failing = true
        return yield* fail("not-durable", id, `the store could not take it: ${error.reason}`)
      })

    /** Durable first, then in force here, then known here. Whoever asked may go away; what was begun is done. */
    const change = Effect.fnUntraced(function* (made: StoreChange, apply: LocalChange["change"], known: () => void) {
      const id = made._tag === "Put" ? made.backend.id : made.id
      yield* writer.write([made]).pipe(Effect.catch(notDurable(id)))
      failing = false
      yield* table.apply([{ id, change: apply, at: yield* Clock.currentTimeMillis }])
      known()
    }, Effect.uninterruptible)

    const claim = (id: string, wall: number, registered: boolean): void => {
      ownership.claim(id, now(), wall, registered)
      if (!registered) return
      const state = { id, owner: pop, source: REGISTERED, draining: false, expired: false }
      note(id, { ...state, registeredAt: wall, heartbeatAt: wall })
    }

    /** The table has come from its source, which tells who has registered. */
    const isRead = (): boolean => current().origin === "source"

    const register = Effect.fnUntraced(function* (row: BackendRow) {
      const snapshot = current()
      const named = typeof row["id"] === "string" ? row["id"] : ""
      if (!isRead()) return yield* fail("busy", named, NOT_READ)
      const decoded = decodeBackend(row)
      if (decoded._tag !== "Backend") {
        return yield* fail("invalid", named, decoded._tag === "Bad" ? decoded.reason : "deleted: it can't be")
      }
      const { address, id, named: isName, port } = decoded.backend
      // No path of a URL can name them.
      if (id === "." || id === "..") return yield* fail("invalid", id, "id: Expected a name other than . and ..")
      // What a name leads to is judged when it is known, and each time it changes.
      const refused = isName === true ? undefined : policy({ address, port })
      if (refused !== undefined) return yield* fail("address", id, refused)
      const known = isRegistered(id)
      const existing = snapshot.backends.get(id)
      if (!known && (existing !== undefined || snapshot.badIds.has(id))) {
        return yield* fail("foreign", id, "a row of this id was written by hand; only by hand it is changed")
      }
      if (!known && fresh.registered(snapshot.states) >= (options.most ?? MOST)) {
        return yield* fail("busy", id, "too many backends have registered")
      }
      const { backend } = decoded
      // What an operator has said of it stays.
      const put = (before: Backend | undefined): Backend => ({
        ...backend,
        healthy: before?.healthy ?? true,
        draining: before?.draining ?? false
      })
      const wall = yield* Clock.currentTimeMillis
      // Some register again and again instead of sending heartbeats. Only of what the source shows, nothing is to be written.
      const shown = snapshot.states.get(id)?.source === REGISTERED && !fresh.has(id)
      if (shown && existing !== undefined && sameBackend(existing, put(existing)) && ownership.heard(id, now(), wall)) {
        return "known" as const
      }
      yield* change({ _tag: "Put", backend, owner: pop, source: REGISTERED, at: wall }, put, () =>
        claim(id, wall, true)
      )
      yield* Effect.logInfo(known ? "backend registered again" : "backend registered", { id, app: backend.app })
      return known ? ("known" as const) : ("created" as const)
    })

    const heartbeat = Effect.fnUntraced(function* (id: string) {
      const wall = yield* Clock.currentTimeMillis
      const existing = current().backends.get(id)
      if (!isRead()) {
        // A stored table does not tell who has registered: nobody is sent away for that.
        if (existing !== undefined) return
        return yield* fail("busy", id, NOT_READ)
      }
      if (existing === undefined || !isRegistered(id)) return yield* fail("unknown", id, "backend not registered")
      const heard: StoreChange = { _tag: "Heartbeat", id, owner: pop, at: wall }
      if (existing.expired) {
        yield* change(
          heard,
          (before) => before && { ...before, expired: false },
          () => claim(id, wall, false)
        )
        yield* Effect.logInfo("backend is heard of again", { id })
      } else if (!ownership.heard(id, now(), wall) && ownership.mayClaim(id, now())) {
        claim(id, wall, false)
        // It will be said again: nobody has to wait for the store.
        yield* Effect.forkIn(Effect.ignore(writer.write([heard])), scope)
      }
    })

    const existingOf = Effect.fnUntraced(function* (id: string) {
      if (!isRead()) return yield* fail("busy", id, NOT_READ)
      return current().backends.get(id) ?? (yield* fail("unknown", id, "backend not registered"))
    })

    const deregister = Effect.fnUntraced(function* (id: string) {
      if (!isRead() || !isRegistered(id)) {
        yield* existingOf(id)
        return yield* fail("foreign", id, "a row of this id was written by hand; only by hand it is removed")
      }
      yield* change(
        { _tag: "Remove", id },
        () => undefined,
        () => {
          ownership.forget(id)
          note(id, undefined)
        }
      )
      yield* Effect.logInfo("backend deregistered", { id })
    })

    const setDraining = Effect.fnUntraced(function* (id: string, draining: boolean) {
      yield* existingOf(id)
      yield* change(
        { _tag: "Drain", id, draining },
        (before) => before && { ...before, draining },
        () => undefined
      )
      yield* Effect.logInfo(draining ? "backend drains" : "backend drains no more", { id })
    })

    /** Writes what time has brought; what can't be written is due again with the next look. */
    const carryOut = Effect.fnUntraced(function* ({ changes, expired, removed }: Ownership.Verdicts) {
      if (changes.length === 0) return
      const at = yield* Clock.currentTimeMillis
      const silent = new Set(expired)
      // Out of rotation at once, whether or not the store can be told.
      yield* table.apply([
        ...expired.map((id): LocalChange => ({ id, at, change: (before) => before && { ...before, expired: true } })),
        ...removed.map((id): LocalChange => ({ id, at, change: () => undefined }))
      ])
      for (let from = 0; from < changes.length; from += BATCH) {
        const batch = changes.slice(from, from + BATCH)
        yield* writer.write(batch)
        failing = false
        for (const made of batch) {
          if (made._tag === "Expire" && silent.has(made.id)) ownership.expire(made.id, now())
          if (made._tag !== "Remove") continue
          ownership.forget(made.id)
          note(made.id, undefined)
        }
      }
      if (expired.length > 0) yield* Effect.logWarning("backends are not heard of any more", told(expired))
      if (removed.length > 0) yield* Effect.logWarning("silent backends removed", told(removed))
    })

    /** States whose rows somebody has removed by other ways than this: a row of the same id is none of theirs. */
    const forgetStrays = Effect.fnUntraced(function* () {
      const { backends, badIds, states } = current()
      for (const id of strays.keys()) if (!states.has(id) || backends.has(id)) strays.delete(id)
      const gone: Array<StoreChange> = []
      yield* forEachSliced(states.values(), ({ id, owner }) => {
        if (backends.has(id) || badIds.has(id) || fresh.has(id) || (owner !== pop && owner !== "")) return
        const since = strays.get(id)
        if (since === undefined) strays.set(id, now())
        else if (now() - since >= STRAY_MS && gone.length < BATCH) gone.push({ _tag: "Forget", id })
      })
      yield* writer.write(gone)
    })

    const look = Effect.gen(function* () {
      const { origin, states } = current()
      if (origin !== "source" || options.isRetired?.() === true) return
      const wall = yield* Clock.currentTimeMillis
      const { held, lost } = table.status()
      // What is not seen as it is says nothing of who is alive (T3).
      if (lost !== undefined || held !== undefined) return ownership.lookAway(now())
      const unchanged = states === seen && ++looks % WHOLE_LOOK !== 0
      seen = states
      if (!unchanged) {
        yield* forEachSliced(states.values(), (state) => ownership.see(state, now(), wall))
        ownership.keepOnly((id) => isRegistered(id) && current().backends.has(id), now())
      }
      fresh.forgetShown(states, now())
      yield* carryOut(ownership.due(now(), wall))
      if (!unchanged) yield* forgetStrays()
    }).pipe(
      Effect.catch((error) => {
        if (failing) return Effect.void
        failing = true
        const why = error instanceof StoreWriter.Busy ? "too much waits for the store" : error.message
        return Effect.logWarning("changes can't be made durable", why)
      })
    )

    yield* supervisor.supervise("registry", Effect.forever(Effect.andThen(look, Effect.sleep(LOOK_MS))))

    const viewOf = (backend: Backend): BackendView =>
      backendView(backend, {
        pop,
        state: stateOf(backend.id),
        times: ownership.times(backend.id),
        upstreams: table.membersOf(backend).flatMap(({ id }) => upstreams.get(id) ?? [])
      })

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
      registered: () => fresh.registered(current().states),
      storeFails: () => failing,
      store: writer.counts
    })
  },
  Effect.annotateLogs({ service: "registry" })
)
