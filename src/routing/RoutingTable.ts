import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Actor from "../actor/Actor.ts"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { type Backend, type BackendRow, type DecodedRow } from "../domain/Backend.ts"
import { mustHold, type Shrink } from "../domain/TableGate.ts"
import type { Attributes } from "../observe/Span.ts"
import { traceEvent, Tracing } from "../observe/Tracing.ts"
import { BackendSource, type SourceError, type SourceEvent } from "./BackendSource.ts"
import { type LocalChange, make as makeLocalChanges, PATIENCE_MS } from "./LocalChanges.ts"
import { type Backends, type DecodedTable, decodeTable, diffTables } from "./TableUpdate.ts"
import { TableSnapshotStore } from "./TableSnapshotStore.ts"
import { type HostAddress, textOf } from "./HostAddresses.ts"
import { make as makePlaces, storedHost } from "./Places.ts"
import { Upstreams } from "./Upstreams.ts"

/** The table as it stands. Another is published with every change; only what this POP changes itself is put into its maps. */
export interface TableSnapshot extends DecodedTable {
  /** Counts published tables; 0 before the first. */
  readonly version: number
  readonly origin: "none" | "source" | "snapshot"
}

export interface TableStatus {
  readonly version: number
  readonly origin: TableSnapshot["origin"]
  readonly backends: number
  readonly quarantined: number
  /** Since the source last confirmed what is served. Undefined before that. */
  readonly ageMs: number | undefined
  readonly lost: SourceError | undefined
  readonly held: Shrink | undefined
}

export interface TableOptions {
  /** T5: the largest share of eligible backends an update may remove unasked. */
  readonly maxShrink: number
  /** T5: an update that has stood unchanged this long is taken after all. */
  readonly holdMs: number
  /** Why a row of a shared source may not be where it says it is (R9); undefined when it may. */
  readonly refuses?: (backend: Backend) => string | undefined
  /** The same of an address that a host's name has led to: whoever answers for that name must not choose freely. */
  readonly refusesFound?: (backend: Backend) => string | undefined
}

/**
 * The only writer of the routing table. It decodes each row on its own, holds back an update that would remove too much at
 * once (T5), applies the difference in slices, publishes an immutable snapshot and keeps it on disk. When the source is
 * lost it changes nothing; before the first table it serves the stored one (T3).
 */
export class RoutingTable extends Context.Service<
  RoutingTable,
  {
    readonly snapshot: SubscriptionRef.SubscriptionRef<TableSnapshot>
    /** Completes with the first table, from the source or from disk. */
    readonly firstTable: Effect.Effect<void>
    readonly status: () => TableStatus
    /** Takes a held update now; false when none is held. */
    readonly confirm: Effect.Effect<boolean>
    /** The options have changed: an update that is held may not have to be any more, or not as long. */
    readonly reconsider: Effect.Effect<void>
    /** Takes changes that this POP has made durable: they are in force when it completes, never held (T5). */
    readonly apply: (changes: ReadonlyArray<LocalChange>) => Effect.Effect<void>
    /** Hosts that rows name (R9). */
    readonly hosts: () => ReadonlySet<string>
    /** Where a host's name leads, as far as is known: of a host that was stored too. */
    readonly addressesOf: (host: string) => ReadonlyArray<HostAddress>
    /** New ones take traffic when it completes, those that are gone take no more; open connections run on. */
    readonly setAddresses: (host: string, addresses: ReadonlyArray<HostAddress>) => Effect.Effect<void>
    /** The backends that a row stands for: itself, or one for each address of the host it names. */
    readonly membersOf: (row: Backend) => ReadonlyArray<Backend>
  }
>()("edgeproxy/routing/RoutingTable") {
  static readonly layer = (
    options: TableOptions
  ): Layer.Layer<RoutingTable, never, BackendSource | Supervisor | TableSnapshotStore | Upstreams> =>
    Layer.effect(RoutingTable, make(options))
}

type Message =
  | { readonly _tag: "Source"; readonly event: SourceEvent }
  | { readonly _tag: "HoldElapsed"; readonly held: Held }
  | { readonly _tag: "Reconsider" }
  | { readonly _tag: "Confirm"; readonly reply: Deferred.Deferred<boolean> }
  | { readonly _tag: "Local"; readonly changes: ReadonlyArray<LocalChange>; readonly reply: Deferred.Deferred<void> }
  | { readonly _tag: "LocalDue" }
  | {
      readonly _tag: "Host"
      readonly host: string
      readonly addresses: ReadonlyArray<HostAddress>
      readonly reply: Deferred.Deferred<void>
    }

interface OwnTable extends DecodedTable {
  readonly backends: Map<string, Backend>
}

interface Held {
  table: OwnTable
  shrink: Shrink
  /** Those that would leave the rotation. */
  lost: ReadonlySet<string>
  since: number
}

const MAILBOX = 16

/** Addresses change more often than tables: they are stored when so much time has passed. */
const STORE_ADDRESSES_MS = 10_000
const MAX_QUARANTINE_LINES = 20
const SAVE_AGAIN_MS = 10_000

export const make = Effect.fnUntraced(
  function* (options: TableOptions) {
    const source = yield* BackendSource
    const store = yield* TableSnapshotStore
    const upstreams = yield* Upstreams
    const supervisor = yield* Supervisor
    const now = yield* monotonicMs
    const tracer = yield* Tracing

    const snapshot = yield* SubscriptionRef.make<TableSnapshot>({
      version: 0,
      origin: "none",
      backends: new Map(),
      quarantined: new Map(),
      badIds: new Set(),
      states: new Map()
    })
    const first = yield* Deferred.make<void>()
    const holdTimer = yield* FiberHandle.make()
    let lost: SourceError | undefined
    let lostAt = 0
    let confirmedAt: number | undefined
    let held: Held | undefined
    /** Of the table that is in force. */
    let backends = new Map<string, Backend>()
    const locals = makeLocalChanges()
    const localTimer = yield* FiberHandle.make()
    /** The stored table lacks what was changed here. */
    let unsaved = false
    /** The last attempt to store the table, when it failed. */
    let failedAt: number | undefined
    const refuses = source.shared ? options.refuses : undefined
    const places = makePlaces(upstreams, options.refusesFound)
    const storeTimer = yield* FiberHandle.make()
    const known = source.keepsRows ? { rows: new Map<BackendRow, DecodedRow>() } : undefined
    const current = (): TableSnapshot => SubscriptionRef.getUnsafe(snapshot)

    const stored = yield* store.load.pipe(
      Effect.tapError((error) => Effect.logError("the stored table can't be read; starting without it", error.message)),
      Effect.orElseSucceed(() => undefined)
    )
    // What the first table of the source is measured against (T5), and what is served when the source gives none (T3).
    for (const row of stored?.rows ?? []) {
      const { host, addresses } = storedHost(row)
      if (addresses.length > 0) places.setAddresses(host, addresses)
    }
    const fallback =
      stored === undefined ? undefined : yield* decodeTable(stored.rows, refuses === undefined ? {} : { refuses })

    const save = Effect.fnUntraced(
      function* (backends: Backends) {
        const rows: Array<BackendRow> = []
        yield* forEachSliced(backends.values(), (backend) => void rows.push(places.encode(backend)))
        yield* store.save({ savedAt: yield* Clock.currentTimeMillis, rows })
        unsaved = false
        if (failedAt !== undefined) yield* Effect.logInfo("the table is stored again")
        failedAt = undefined
      },
      Effect.catch((error) => {
        const first = failedAt === undefined
        failedAt = now()
        if (!first) return Effect.void
        return Effect.logError(
          "the table could not be stored; a restart without the source would lack it",
          error.message
        )
      })
    )

    /** A disk that was full may have space again, and the table may not change for days. */
    const saveAgain = Effect.suspend(() =>
      failedAt !== undefined && now() - failedAt >= SAVE_AGAIN_MS && current().origin === "source"
        ? save(backends)
        : Effect.void
    )

    const logQuarantine = Effect.fnUntraced(function* (before: DecodedTable, after: DecodedTable) {
      const fresh = Array.from(after.quarantined).filter(([row, reason]) => before.quarantined.get(row) !== reason)
      for (const [row, reason] of fresh.slice(0, MAX_QUARANTINE_LINES)) {
        yield* Effect.logWarning("bad row left out of the table", { row, reason })
      }
      const more = fresh.length - MAX_QUARANTINE_LINES
      if (more > 0) yield* Effect.logWarning("more bad rows left out of the table", { more })
    })

    const publish = Effect.fnUntraced(function* (table: OwnTable, origin: "source" | "snapshot") {
      const before = current()
      const from = now()
      held = undefined
      const diff = yield* diffTables(before.backends, table.backends)
      const changed = diff.put.length > 0 || diff.drop.length > 0
      yield* logQuarantine(before, table)
      // New ones first: a table that replaces every backend must not leave a moment with none.
      yield* forEachSliced(diff.put, (row) => places.put(row, backends.get(row.id)))
      yield* forEachSliced(diff.drop, (id) => places.drop(backends.get(id)))
      backends = table.backends
      if (!changed && origin === before.origin && sameReasons(before, table)) {
        yield* SubscriptionRef.set(snapshot, { ...table, version: before.version, origin })
      } else {
        yield* SubscriptionRef.set(snapshot, { ...table, version: before.version + 1, origin })
        const changes = {
          origin,
          version: before.version + 1,
          backends: table.backends.size,
          changed: diff.put.length,
          removed: diff.drop.length,
          quarantined: table.quarantined.size
        }
        yield* Effect.logInfo("routing table", changes)
        traceEvent(tracer, "table.update", from, now(), attributesOf(changes))
      }
      yield* Deferred.succeed(first, undefined)
      if (origin === "source" && (changed || unsaved || before.origin !== "source")) {
        yield* save(table.backends)
      }
    })

    const applyLocal = Effect.fnUntraced(function* (changes: ReadonlyArray<LocalChange>) {
      for (const local of changes) {
        const { id } = local
        const before = backends.get(id)
        const after = local.change(before)
        locals.add(local, before, after, now())
        if (after === undefined) places.drop(before)
        else places.put(after, before)
        set(backends, id, after)
        if (held !== undefined) set(held.table.backends, id, local.change(held.table.backends.get(id)))
      }
      yield* published
      if (locals.size() > 0)
        yield* FiberHandle.run(localTimer, Effect.delay(actor.tell({ _tag: "LocalDue" }), PATIENCE_MS))
    })

    /** The source is right after all. */
    const giveUpLocal = Effect.gen(function* () {
      for (const [id, shown] of locals.giveUp(now())) {
        yield* Effect.logWarning("a change of this POP was undone elsewhere", { id })
        if (shown === undefined) places.drop(backends.get(id))
        else places.put(shown, backends.get(id))
        set(backends, id, shown)
      }
      yield* published
      if (locals.size() > 0)
        yield* FiberHandle.run(localTimer, Effect.delay(actor.tell({ _tag: "LocalDue" }), PATIENCE_MS))
    })

    const published = Effect.gen(function* () {
      unsaved = true
      const before = current()
      const attributes = { origin: "local", version: before.version + 1, backends: backends.size }
      traceEvent(tracer, "table.update", now(), now(), attributesOf(attributes))
      yield* SubscriptionRef.set(snapshot, { ...before, backends, version: before.version + 1 })
    })

    const takeAddresses = Effect.fnUntraced(function* (host: string, addresses: ReadonlyArray<HostAddress>) {
      places.setAddresses(host, addresses, backends)
      yield* Effect.logInfo("host found", { host, addresses: addresses.map(textOf) })
      yield* published
      // None is stored before the source has given a table: what is stored is that of the source.
      if (current().origin !== "source") return
      const storing = Effect.suspend(() => save(backends)).pipe(Effect.delay(STORE_ADDRESSES_MS))
      yield* FiberHandle.run(storeTimer, storing, { onlyIfMissing: true })
    })

    const wakeForHold = (waiting: Held) =>
      FiberHandle.run(
        holdTimer,
        actor
          .tell({ _tag: "HoldElapsed", held: waiting })
          .pipe(Effect.delay(Math.max(0, waiting.since + options.holdMs - now())))
      )

    const hold = Effect.fnUntraced(function* (table: OwnTable, shrink: Shrink, losing: ReadonlyArray<string>) {
      // What it would remove has to stand unchanged, or become less; whatever else changes does not count.
      const known = held
      if (known !== undefined && losing.every((id) => known.lost.has(id))) {
        known.table = table
        known.shrink = shrink
        known.lost = new Set(losing)
        return
      }
      const next: Held = { table, shrink, lost: new Set(losing), since: now() }
      held = next
      yield* Effect.logError("update held: it would remove too many backends at once", {
        ...shrink,
        allowedShare: options.maxShrink,
        takenAfterMs: options.holdMs
      })
      yield* wakeForHold(next)
      if (current().origin === "none" && fallback !== undefined) yield* publishStored(fallback, next)
    })

    const publishStored = Effect.fnUntraced(function* (table: OwnTable, keep?: Held) {
      yield* Effect.logWarning("serving the stored table", { backends: table.backends.size })
      yield* publish(table, "snapshot")
      held = keep
    })

    const takeRows = Effect.fnUntraced(function* (rows: ReadonlyArray<BackendRow>, states?: ReadonlyArray<BackendRow>) {
      const table = yield* decodeTable(rows, {
        ...(states === undefined ? {} : { states }),
        ...(refuses === undefined ? {} : { refuses }),
        ...(known === undefined ? {} : { known })
      })
      locals.applyTo(table.backends, table.states, now())
      const baseline = current().origin === "none" && fallback !== undefined ? fallback.backends : current().backends
      const { lost: losing, shrink } = yield* diffTables(baseline, table.backends)
      if (mustHold(shrink, options.maxShrink)) yield* hold(table, shrink, losing)
      else yield* publish(table, "source")
    })

    const traceReconnect = ({ reason, target }: SourceError): void =>
      traceEvent(tracer, "source.reconnect", lostAt, now(), {
        "edgeproxy.source": source.name,
        "edgeproxy.source.target": target,
        "edgeproxy.reason": reason
      })

    const receive = Effect.fnUntraced(function* (message: Message) {
      if (message._tag === "HoldElapsed") {
        if (held !== message.held) return
        // Nobody can tell whether it stands while the source is lost.
        if (lost !== undefined) {
          message.held.since = now()
          return yield* Effect.asVoid(wakeForHold(message.held))
        }
        yield* Effect.logWarning("held update taken: it has stood unchanged", {
          ...held.shrink,
          heldMs: options.holdMs
        })
        return yield* publish(message.held.table, "source")
      }
      if (message._tag === "Reconsider") {
        if (held === undefined) return
        if (mustHold(held.shrink, options.maxShrink)) return yield* Effect.asVoid(wakeForHold(held))
        yield* Effect.logWarning("held update taken: so much may be removed now", held.shrink)
        return yield* publish(held.table, "source")
      }
      if (message._tag === "Confirm") {
        const confirmed = held
        if (confirmed !== undefined) yield* publish(confirmed.table, "source")
        return yield* Effect.asVoid(Deferred.succeed(message.reply, confirmed !== undefined))
      }
      if (message._tag === "LocalDue") return yield* giveUpLocal
      if (message._tag === "Host") {
        yield* takeAddresses(message.host, message.addresses)
        return yield* Effect.asVoid(Deferred.succeed(message.reply, undefined))
      }
      if (message._tag === "Local") {
        yield* applyLocal(message.changes)
        return yield* Effect.asVoid(Deferred.succeed(message.reply, undefined))
      }
      const { event } = message
      if (event._tag === "Lost") {
        if (lost?.message !== event.error.message)
          yield* Effect.logError("source lost; the last good table stays", event.error.message)
        if (lost === undefined) lostAt = now()
        lost = event.error
        if (current().origin === "none" && fallback !== undefined) yield* publishStored(fallback)
        return
      }
      if (lost !== undefined) {
        yield* Effect.logInfo("source is back", { source: source.name })
        traceReconnect(lost)
      }
      lost = undefined
      if (event._tag === "Rows") yield* takeRows(event.rows, event.states)
      else {
        locals.confirm(now())
        yield* saveAgain
      }
      // What the source says and what is served are the same thing only while nothing is held.
      if (held === undefined) confirmedAt = now()
    })

    const actor: Actor.ActorRef<Message> = yield* Actor.make({ name: "routing-table", mailbox: MAILBOX, receive })
    yield* supervisor.supervise(
      `source-${source.name}`,
      source.events.pipe(Stream.runForEach((event) => actor.tell({ _tag: "Source", event })))
    )

    return RoutingTable.of({
      snapshot,
      firstTable: Deferred.await(first),
      status: () => {
        const { backends, origin, quarantined, version } = current()
        return {
          version,
          origin,
          backends: backends.size,
          quarantined: quarantined.size,
          ageMs: confirmedAt === undefined ? undefined : now() - confirmedAt,
          lost,
          held: held?.shrink
        }
      },
      reconsider: actor.tell({ _tag: "Reconsider" }),
      confirm: Effect.gen(function* () {
        const reply = yield* Deferred.make<boolean>()
        yield* actor.tell({ _tag: "Confirm", reply })
        return yield* Deferred.await(reply)
      }),
      apply: Effect.fnUntraced(function* (changes) {
        const reply = yield* Deferred.make<void>()
        yield* actor.tell({ _tag: "Local", changes, reply })
        yield* Deferred.await(reply)
      }),
      hosts: places.hosts,
      addressesOf: places.addressesOf,
      setAddresses: Effect.fnUntraced(function* (host, addresses) {
        const reply = yield* Deferred.make<void>()
        yield* actor.tell({ _tag: "Host", host, addresses, reply })
        yield* Deferred.await(reply)
      }),
      membersOf: places.membersOf
    })
  },
  Effect.annotateLogs({ service: "routing-table" })
)

const attributesOf = (changes: Readonly<Record<string, string | number>>): Attributes =>
  Object.fromEntries(Object.entries(changes).map(([name, value]) => [`edgeproxy.table.${name}`, value]))

const set = (backends: Map<string, Backend>, id: string, backend: Backend | undefined): void => {
  if (backend === undefined) backends.delete(id)
  else backends.set(id, backend)
}

const sameReasons = (a: DecodedTable, b: DecodedTable): boolean =>
  a.quarantined.size === b.quarantined.size &&
  Array.from(b.quarantined).every(([row, reason]) => a.quarantined.get(row) === reason)
