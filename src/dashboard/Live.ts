import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import type { Ready } from "../api/Ready.ts"
import type { BackendEvents } from "../backends/BackendEvents.ts"
import type { Registry } from "../backends/Registry.ts"
import type { AccessLog } from "../observe/AccessLog.ts"
import type { LoopDelay } from "../observe/LoopDelay.ts"
import type { GeoResolver } from "../routing/GeoResolver.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import type { Certificates } from "../tls/Certificates.ts"
import type { Admission } from "../traffic/Admission.ts"
import type { Connections } from "../traffic/Connections.ts"
import type { TrafficCounters } from "../traffic/TrafficCounters.ts"
import type { Transport } from "../traffic/Transport.ts"
import { LOADS_AT_ONCE } from "./BackendWindow.ts"
import * as Reading from "./Reading.ts"

/** There are as many viewers as there may be. */
export class LiveError extends Data.TaggedError("LiveError")<{ readonly most: number }> {
  override get message(): string {
    return `${this.most} others watch already; try again later`
  }
}

export interface LiveOptions extends Reading.ReadingOptions {
  /** Completes when the streams have to end. */
  readonly closing: Effect.Effect<void>
}

/** Viewers at once. */
export const MAX_VIEWERS = 32

/** Everything is read once in so much time ... */
export const EVERY_MS = 1_000
/** ... and never takes more of it than one part in so many. */
const COST = 20
/** While nobody looks, only what the traffic does is, this often. */
export const UNSEEN_MS = 5_000
/** After a change of a backend it is told at once, but for this, within which others may follow. */
export const GAP_MS = 200

/**
 * The live view of a POP: what has changed, told to whoever looks. It is read once for all of them and only while there is
 * one, but for what the traffic has done in the last minutes. Each viewer says by its pulls how fast it reads; a slow one gets fewer and larger messages, each bounded by what there
 * is to see at all, and nothing waits for it in memory.
 */
export class Live extends Context.Service<
  Live,
  {
    /** Server-sent events whose data are `LiveMessage`s; the first has everything. */
    readonly join: Effect.Effect<Stream.Stream<Uint8Array>, LiveError>
    readonly viewers: () => number
  }
>()("edgeproxy/dashboard/Live") {
  static readonly layer = (
    options: LiveOptions
  ): Layer.Layer<
    Live,
    never,
    | AccessLog
    | Admission
    | BackendEvents
    | Certificates
    | Connections
    | GeoResolver
    | LoopDelay
    | Ready
    | Registry
    | RoutingTable
    | Supervisor
    | TrafficCounters
    | Transport
    | Upstreams
  > => Layer.effect(Live, make(options))
}

/** What a viewer has seen, up to which change of each kind. */
interface Cursor {
  readonly tick: number
  readonly parts: number
  readonly backends: number
  readonly loads: number
  readonly flows: number
  readonly ends: number
  readonly event: number
  readonly sample: number
}

const nothing: Cursor = { tick: -1, parts: 0, backends: 0, loads: 0, flows: 0, ends: 0, event: 0, sample: 0 }

const encoder = new TextEncoder()

/** What is new since the cursor, as one event of the stream, and the cursor after it. */
const tell = (reading: Reading.Reading, cursor: Cursor, tick: number, at: number): readonly [Uint8Array, Cursor] => {
  const parts = reading.parts.since(cursor.parts)
  const backends = reading.backends.rows.since(cursor.backends)
  // Whoever sees them for the first time gets them all.
  const loads = reading.backends.loads.since(cursor.loads, cursor.loads === 0 ? Infinity : LOADS_AT_ONCE)
  const flows = reading.flows.since(cursor.flows)
  const ends = reading.ends.since(cursor.ends)
  const events = reading.events().filter(({ seq }) => seq > cursor.event)
  const count = reading.samples.count()
  const samples = count === cursor.sample ? [] : reading.samples.kept.slice(cursor.sample - count)
  const told = {
    parts: parts.json,
    backends: backends.json,
    loads: loads.json,
    flows: flows.json,
    ends: ends.json,
    events: events.length === 0 ? undefined : JSON.stringify(events),
    samples: samples.length === 0 ? undefined : JSON.stringify(samples)
  }
  let json = `{"at":${at}`
  for (const [name, value] of Object.entries(told)) if (value !== undefined) json += `,"${name}":${value}`
  return [
    encoder.encode(`data: ${json}}\n\n`),
    {
      tick,
      parts: parts.cursor,
      backends: backends.cursor,
      loads: loads.cursor,
      flows: flows.cursor,
      ends: ends.cursor,
      event: events.at(-1)?.seq ?? cursor.event,
      sample: count
    }
  ]
}

export const make = Effect.fnUntraced(function* (options: LiveOptions) {
  const upstreams = yield* Upstreams
  const table = yield* RoutingTable
  const supervisor = yield* Supervisor
  const reading = yield* Reading.make(options)
  const clock = yield* Clock.Clock
  const now = yield* monotonicMs
  const watched = yield* Latch.make(false)
  const changed = yield* Latch.make(false)
  let viewers = 0
  let tick = 0
  let nextWhole = -Infinity
  let next = Deferred.makeUnsafe<void>()
  /** Of this tick: most viewers have seen the same. */
  const made = new Map<string, readonly [Uint8Array, Cursor]>()

  const stop = upstreams.onChange(() => void changed.openUnsafe())
  yield* Effect.addFinalizer(() => Effect.sync(stop))

  /** Gives the milliseconds it took. */
  const read = Effect.gen(function* () {
    const startedAt = now()
    if (startedAt < nextWhole) return yield* reading.quick
    const spentMs = yield* reading.whole(viewers)
    nextWhole = startedAt + Math.max(EVERY_MS, spentMs * COST)
    return spentMs
  })

  const round = Effect.gen(function* () {
    yield* watched.await
    changed.closeUnsafe()
    const cost = yield* read
    tick++
    made.clear()
    const told = next
    next = Deferred.makeUnsafe()
    Deferred.doneUnsafe(told, Effect.void)
    yield* Effect.sleep(Math.max(GAP_MS, cost * COST))
    yield* Effect.raceFirst(changed.await, Effect.sleep(Math.max(0, nextWhole - now())))
  })
  yield* supervisor.supervise("live", Effect.forever(round))

  // Who opens the page because something is wrong wants to see when it began.
  const remember = Effect.gen(function* () {
    const spentMs = viewers === 0 ? yield* reading.glance : 0
    yield* Effect.sleep(Math.max(UNSEEN_MS, spentMs * COST))
  })
  yield* supervisor.supervise("live-history", Effect.forever(remember))

  // A drain, a new row: whatever the table says is told as soon.
  const followTable = Effect.gen(function* () {
    yield* watched.await
    yield* SubscriptionRef.changes(table.snapshot).pipe(
      Stream.takeWhile(() => viewers > 0),
      Stream.runForEach(() => Effect.sync(() => changed.openUnsafe()))
    )
  })
  yield* supervisor.supervise("live-table", Effect.forever(followTable))

  // Those who came at the same moment were all told that there was a place.
  const enter = Effect.sync((): Cursor | undefined => {
    if (viewers >= MAX_VIEWERS) return undefined
    // What was read for others is still new. For the first one it has to be read, which may have been done when it is open.
    const cursor = viewers > 0 && tick > 0 ? nothing : { ...nothing, tick }
    viewers++
    watched.openUnsafe()
    // Another one may have gone a moment ago, and the next reading not be due yet.
    changed.openUnsafe()
    return cursor
  })
  const leave = (cursor: Cursor | undefined) =>
    Effect.sync(() => {
      if (cursor === undefined) return
      viewers--
      if (viewers === 0) watched.closeUnsafe()
    })

  const step = (cursor: Cursor) =>
    Effect.map(cursor.tick === tick ? Deferred.await(next) : Effect.void, () => {
      const key = Object.values(cursor).join()
      let told = made.get(key)
      if (told === undefined) {
        told = tell(reading, cursor, tick, clock.currentTimeMillisUnsafe())
        made.set(key, told)
      }
      return told
    })

  const stream = Stream.unwrap(
    Effect.map(Effect.acquireRelease(enter, leave), (cursor) =>
      cursor === undefined ? Stream.empty : Stream.unfold(cursor, step)
    )
  ).pipe(Stream.interruptWhen(options.closing))

  return Live.of({
    join: Effect.suspend(() =>
      viewers >= MAX_VIEWERS ? Effect.fail(new LiveError({ most: MAX_VIEWERS })) : Effect.succeed(stream)
    ),
    viewers: () => viewers
  })
})
