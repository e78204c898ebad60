import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachTimed } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { Ready } from "../api/Ready.ts"
import type { Identity } from "../api/Identity.ts"
import { BackendEvents } from "../backends/BackendEvents.ts"
import type { BackendView } from "../backends/BackendView.ts"
import { Registry } from "../backends/Registry.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import { LoopDelay } from "../observe/LoopDelay.ts"
import type { Vitals } from "../observe/Vitals.ts"
import { GeoResolver } from "../routing/GeoResolver.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import { Certificates } from "../tls/Certificates.ts"
import { Admission } from "../traffic/Admission.ts"
import { type ConnectionRecord, Connections } from "../traffic/Connections.ts"
import { ACCEPTED, ENDED, RECEIVED, SENT } from "../traffic/ListenerCounters.ts"
import { TrafficCounters } from "../traffic/TrafficCounters.ts"
import { Transport } from "../traffic/Transport.ts"
import * as BackendWindow from "./BackendWindow.ts"
import * as Changes from "./Changes.ts"
import type { Parts, Sample } from "./LiveMessage.ts"
import { KEPT_SAMPLES } from "./LiveView.ts"
import * as liveParts from "./liveParts.ts"

export interface ReadingOptions extends Identity {
  readonly vitals: Effect.Effect<Vitals>
}

/** How far back samples are kept, whoever has looked meanwhile. */
export const KEPT_MS = 600_000

/** Ends of connections are recent for so long, to the step in which they are remembered. */
const RECENT_MS = 300_000
const RECENT_STEP_MS = 5_000

/** Of less than so long, figures per second would be made of one client or two. */
const SHORTEST_MS = 400

/** After so long without a look, figures per second would be those of a time that nobody wants to see as one. */
const GAP_MS = 10_000

const none: BackendWindow.Carried = { sent: 0, received: 0 }

interface Totals {
  readonly at: number
  readonly begun: number
  readonly ended: number
  readonly refused: number
  readonly sent: number
  readonly received: number
}

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}

/** What there is to see of a POP, read from its owners; nothing of it but the samples is kept up while nobody reads. */
export const make = Effect.fnUntraced(function* ({ pop, region, version, vitals }: ReadingOptions) {
  const connections = yield* Connections
  const counters = yield* TrafficCounters
  const upstreams = yield* Upstreams
  const registry = yield* Registry
  const table = yield* RoutingTable
  const transport = yield* Transport
  const supervisor = yield* Supervisor
  const admission = yield* Admission
  const loop = yield* LoopDelay
  const geo = yield* GeoResolver
  const certificates = yield* Certificates
  const ready = yield* Ready
  const events = yield* BackendEvents
  const log = yield* AccessLog
  const now = yield* monotonicMs
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()

  const backends = BackendWindow.make()
  const parts = Changes.make()
  const flows = Changes.make()
  const ends = Changes.make()
  const samples: Array<Sample> = []
  const pastEnds: Array<{ readonly at: number; readonly counts: ReadonlyMap<string, number> }> = []
  let sampled = 0
  let last: Totals | undefined
  /** When all there is was read for viewers, and the processor time at that moment. */
  let lastWhole: { readonly at: number; readonly cpuSeconds: number } | undefined

  const put = <Name extends keyof Parts>(name: Name, value: Parts[Name]): void => parts.put(name, JSON.stringify(value))

  /** Where the connections of a row go: to itself, or to each address of the host that it names. */
  const idsOf = ({ addresses, id }: BackendView): ReadonlyArray<string> => {
    if (addresses === undefined) return [id]
    const backend = SubscriptionRef.getUnsafe(table.snapshot).backends.get(id)
    return backend === undefined ? [] : table.membersOf(backend).map(({ id }) => id)
  }

  const carriedBy = (view: BackendView): BackendWindow.Carried => {
    let sent = 0
    let received = 0
    for (const id of idsOf(view)) {
      const upstream = upstreams.get(id)
      if (upstream === undefined) continue
      const totals = upstreams.counters.totals(upstream.row)
      sent += totals.bytesSent
      received += totals.bytesReceived
    }
    return { sent, received }
  }

  const readBackends = Effect.fnUntraced(function* (seconds: number | undefined) {
    const states: Partial<Record<BackendView["state"], number>> = {}
    const spentMs = yield* forEachTimed(registry.list(), (view) => {
      states[view.state] = (states[view.state] ?? 0) + 1
      backends.see(view, seconds === undefined ? none : carriedBy(view))
    })
    backends.finish(seconds)
    put("states", states)
    return spentMs
  })

  const readEnds = (): void => {
    const counts = new Map(
      counters
        .terminations()
        .flatMap(({ by, cause, count, phase }) => (count > 0 ? [[`${by} ${phase} ${cause}`, count] as const] : []))
    )
    const at = now()
    if (at - (pastEnds.at(-1)?.at ?? -Infinity) >= RECENT_STEP_MS) pastEnds.push({ at, counts })
    // The first that is left is the last from before the window, unless the process itself is younger.
    while ((pastEnds[1]?.at ?? Infinity) <= at - RECENT_MS) pastEnds.shift()
    const [first] = pastEnds
    const before = first !== undefined && first.at <= at - RECENT_MS ? first.counts : undefined
    for (const [end, count] of counts) ends.put(end, JSON.stringify([count, count - (before?.get(end) ?? 0)]))
  }

  const readConnections = Effect.fnUntraced(function* () {
    const open = new Map<string, number>()
    const spentMs = yield* forEachTimed(connections.all(), (record: ConnectionRecord) => {
      counters.look(record)
      const { connectUs, geo, route } = record
      if (connectUs === undefined || route === undefined) return
      const flow = `${geo.country ?? "?"} ${route.lease.upstream.backend.region}`
      open.set(flow, (open.get(flow) ?? 0) + 1)
    })
    for (const [country, regions] of counters.flows) {
      for (const [region, begun] of regions) {
        const flow = `${country ?? "?"} ${region}`
        flows.put(flow, JSON.stringify([open.get(flow) ?? 0, begun]))
      }
    }
    readEnds()
    return spentMs
  })

  const totals = (): Totals => {
    const total = (place: number): number => sum(counters.listeners.map(({ totals }) => totals[place] ?? 0))
    return {
      at: now(),
      begun: total(ACCEPTED),
      ended: total(ENDED),
      refused: sum(counters.rejections.values()),
      sent: total(SENT),
      received: total(RECEIVED)
    }
  }

  const keep = (sample: Sample): void => {
    sampled++
    samples.push(sample)
    const oldest = sample[0] - KEPT_MS
    while (samples.length > KEPT_SAMPLES || (samples[0]?.[0] ?? Infinity) < oldest) samples.shift()
  }

  /** Notes what has happened since the last time, unless that was a moment ago. Connections have to be read before. */
  const takeSample = (wall: number): void => {
    const after = totals()
    const before = last
    const ms = before === undefined ? Infinity : after.at - before.at
    if (ms < SHORTEST_MS) return
    last = after
    if (before === undefined) return
    if (ms > GAP_MS) return keep([wall, null, null, null, null, null, null])
    const rate = (name: keyof Totals): number => Math.max(0, Math.round(((after[name] - before[name]) * 1_000) / ms))
    keep([
      wall,
      after.begun - after.ended,
      rate("begun"),
      rate("ended"),
      rate("refused"),
      rate("sent"),
      rate("received")
    ])
  }

  /** For the samples alone, while nobody looks. Gives the milliseconds it took. */
  const glance = Effect.gen(function* () {
    const spentMs = yield* readConnections()
    takeSample(clock.currentTimeMillisUnsafe())
    return spentMs
  })

  const putState = (wall: number): void => {
    const { degraded, reasons } = ready.now()
    put("readiness", { ready: reasons.length === 0, reasons, degraded })
    put("table", liveParts.tablePart(table.status(), backends.shown(), wall))
    put("pools", liveParts.poolsPart(upstreams.pools()))
    put("quarantined", liveParts.quarantinedPart(registry.quarantined()))
  }

  /** What changes at once and is wanted at once: backends and their states. Gives the milliseconds it took. */
  const quick = Effect.gen(function* () {
    const spentMs = yield* readBackends(undefined)
    putState(clock.currentTimeMillisUnsafe())
    return spentMs
  })

  /** All there is, with figures per second since the last time. Gives the milliseconds it took. */
  const whole = (viewers: number) =>
    Effect.gen(function* () {
      const taken = yield* vitals
      const onConnections = yield* readConnections()
      const wall = clock.currentTimeMillisUnsafe()
      takeSample(wall)
      const at = now()
      const before = lastWhole
      lastWhole = { at, cpuSeconds: taken.cpuSeconds }
      const sinceMs = before === undefined ? Infinity : at - before.at
      // Figures of a long time without viewers are not those of now.
      const seconds = sinceMs > 0 && sinceMs <= GAP_MS ? sinceMs / 1_000 : Infinity
      const onBackends = yield* readBackends(seconds)
      putState(wall)
      put("pop", {
        version,
        pop,
        region,
        startedAt,
        engine: transport.engine,
        listeners: counters.listeners.map(({ address, app }) => [address, app ?? ""])
      })
      put("rejected", Object.fromEntries(counters.rejections))
      put("actors", liveParts.actorsPart(supervisor.list()))
      put("self", {
        loop: liveParts.loopPart(loop.since(now() - liveParts.LOOP_WINDOW_MS)),
        cpu:
          before === undefined || seconds === Infinity
            ? null
            : Math.round(((taken.cpuSeconds - before.cpuSeconds) / seconds) * 1_000) / 1_000,
        rss: taken.rss,
        heap: taken.heap,
        heapLimit: taken.heapLimit,
        fds: taken.fds ?? null,
        fdLimit: taken.fdLimit,
        connectionLimit: admission.limit,
        paused: admission.paused() ?? null,
        transport: transport.census(),
        logDropped: log.dropped(),
        geoBuiltAt: geo.builtAt() ?? null,
        certificate: liveParts.certificatePart(certificates.current()?.certificates ?? []),
        viewers
      })
      return onConnections + onBackends
    })

  return {
    quick,
    whole,
    glance,
    parts,
    flows,
    ends,
    backends,
    events: events.recent,
    /** The latest last, and how many there have been. */
    samples: { kept: samples, count: () => sampled }
  }
})

export type Reading = Effect.Success<ReturnType<typeof make>>
