import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { causes, phases, type Termination, terminators } from "../domain/Termination.ts"
import type { Country, Region } from "../domain/Region.ts"
import { type Exemplar, keep } from "../observe/Exemplar.ts"
import { observe } from "../observe/Metric.ts"
import type { Route } from "../routing/Router.ts"
import type { Upstream } from "../routing/Upstream.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import type { ConnectionRecord } from "./Connections.ts"
import type { ConnectionTrace } from "./ConnectionTrace.ts"
import { dialReasons } from "./dialReasons.ts"
import {
  ACCEPTED,
  CONNECT,
  CONNECT_BOUNDS,
  ENDED,
  LIFETIME,
  LIFETIME_BOUNDS,
  type ListenerCounters,
  make as makeListener,
  RECEIVED,
  SENT
} from "./ListenerCounters.ts"
import { type DialError, type Ended, type LiveCounts, Transport } from "./Transport.ts"

export interface TerminationCount extends Termination {
  readonly count: number
}

const handshakeResults = ["full", "resumed", "failed", "client-cert", "deadline", "gone"] as const

/** What came of a TLS handshake with a client. */
export type HandshakeResult = (typeof handshakeResults)[number]

export interface RouteCount extends Pick<Route, "affinity" | "tier"> {
  readonly count: number
}

/** How many connections clients of a country have had to backends of each region; at most as many as there are countries. */
export type Flows = ReadonlyMap<Country | undefined, ReadonlyMap<Region, number>>

/**
 * What has happened to connections, in plain numbers that only grow: all of it costs a connection some hundred nanoseconds
 * and no allocation. Bytes of open connections are counted by `look` and the rest of them at their end, so that no byte
 * counts twice and no sum ever falls.
 */
export class TrafficCounters extends Context.Service<
  TrafficCounters,
  {
    readonly addListener: (address: string, app: string | undefined, tls: boolean) => ListenerCounters
    readonly listeners: ReadonlyArray<ListenerCounters>
    readonly accepted: (listener: ListenerCounters) => void
    /** Turned away before anything was done for it. */
    readonly rejected: (reason: RejectReason, count: number) => void
    /** The engine could not accept what was waiting, by the errno's name. */
    readonly acceptFailed: (code: string, count: number) => void
    readonly dialFailed: (upstream: Upstream, error: DialError) => void
    /** Bytes flow from now on: so many milliseconds after the accept. `connectUs` undefined: it was not dialled for. */
    readonly connected: (record: ConnectionRecord, route: Route, connectUs: number | undefined, tookMs: number) => void
    /** Counts what the open connection has carried since the last look. */
    readonly look: (record: ConnectionRecord) => void
    readonly ended: (record: ConnectionRecord, ended: Ended, durationMs: number) => void
    readonly rejections: ReadonlyMap<RejectReason, number>
    readonly acceptErrors: ReadonlyMap<string, number>
    /** A client was taken in by TLS, or could not be. */
    readonly handshake: (result: HandshakeResult) => void
    readonly handshakes: ReadonlyMap<HandshakeResult, number>
    /** By reason, as a label has it. */
    readonly dialFailures: ReadonlyMap<string, number>
    readonly routed: () => ReadonlyArray<RouteCount>
    readonly flows: Flows
    /** Every possible one, most of them zero. */
    readonly terminations: () => ReadonlyArray<TerminationCount>
  }
>()("edgeproxy/traffic/TrafficCounters") {
  static readonly layer: Layer.Layer<TrafficCounters, never, Transport | Upstreams> = Layer.effect(
    TrafficCounters,
    Effect.suspend(() => make)
  )
}

/**
 * `limit`: at the limit of connections; `overload`: by an engine that can't leave clients in the backlog meanwhile;
 * `no-address`: the peer's address is none; `untrusted-peer`: a PROXY header is required and would not be believed; the others:
 * who it is or what it does.
 */
export const rejectReasons = [
  "limit",
  "overload",
  "denied-network",
  "denied-country",
  "client-limit",
  "rate-limit",
  "untrusted-peer",
  "no-address"
] as const

export type RejectReason = (typeof rejectReasons)[number]

/** The position of each name, for counters that lie in one array. */
const codesOf = <A extends string>(names: ReadonlyArray<A>): Readonly<Record<A, number>> =>
  // Object.fromEntries forgets the key type; these are exactly the names.
  Object.fromEntries(names.map((name, index) => [name, index])) as Record<A, number>

const byCode = codesOf(terminators)
const phaseCode = codesOf(phases)
const causeCode = codesOf(causes)

const indexOf = ({ by, cause, phase }: Termination): number =>
  (byCode[by] * phases.length + phaseCode[phase]) * causes.length + causeCode[cause]

const allTerminations: ReadonlyArray<Termination> = terminators.flatMap((by) =>
  phases.flatMap((phase) => causes.map((cause) => ({ by, phase, cause })))
)

const affinities = ["new", "hit", "rebound"] as const
const affinityCode = codesOf<Route["affinity"]>(affinities)

const allRoutes: ReadonlyArray<Pick<Route, "affinity" | "tier">> = ([0, 1, 2, 3] as const).flatMap((tier) =>
  affinities.map((affinity) => ({ tier, affinity }))
)

// A backend that ends a relay in any other way than by finishing has broken it off.
const brokenByBackend = ({ by, cause, phase }: Ended): boolean =>
  by === "backend" && phase === "relay" && cause !== "fin"

const add = (totals: Float64Array, at: number, amount: number): void => {
  totals[at] = (totals[at] ?? 0) + amount
}

const make = Effect.gen(function* () {
  const transport = yield* Transport
  const { counters } = yield* Upstreams
  const wall = yield* Clock.clockWith(Effect.succeed)
  const listeners: Array<ListenerCounters> = []
  const ends = new Float64Array(allTerminations.length)
  const rejections = new Map<RejectReason, number>(rejectReasons.map((reason) => [reason, 0]))
  // Told from the start, so that the first one shows as an increase.
  const acceptErrors = new Map<string, number>([["EMFILE", 0]])
  const routed = new Float64Array(allRoutes.length)
  const handshakes = new Map<HandshakeResult, number>(handshakeResults.map((result) => [result, 0]))
  const failures = new Map<string, number>()
  for (const reason of Object.values(dialReasons)) if (reason !== dialReasons.WarmGone) failures.set(reason, 0)
  const flows = new Map<Country | undefined, Map<Region, number>>()
  const live: LiveCounts = { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 }

  const exemplarOf = ({ span }: ConnectionTrace, ms: number): Exemplar => ({
    traceId: span.traceId,
    value: ms / 1_000,
    atMs: wall.currentTimeMillisUnsafe()
  })

  const carry = (record: ConnectionRecord, upstream: Upstream, bytesIn: number, bytesOut: number): void => {
    // An engine whose thread has died may end a connection with less than it has told before.
    const sent = Math.max(0, bytesIn - (record.countedIn ?? 0))
    const received = Math.max(0, bytesOut - (record.countedOut ?? 0))
    if (sent === 0 && received === 0) return
    if (sent > 0) record.countedIn = bytesIn
    if (received > 0) record.countedOut = bytesOut
    const { totals } = record.listener
    add(totals, SENT, sent)
    add(totals, RECEIVED, received)
    counters.carried(upstream.row, sent, received)
  }

  const flowed = (country: Country | undefined, region: Region): void => {
    let counts = flows.get(country)
    if (counts === undefined) flows.set(country, (counts = new Map()))
    counts.set(region, (counts.get(region) ?? 0) + 1)
  }

  return TrafficCounters.of({
    addListener: (address, app, tls) => {
      const listener = makeListener(address, app, tls)
      listeners.push(listener)
      return listener
    },
    listeners,
    accepted: ({ totals }) => add(totals, ACCEPTED, 1),
    rejected: (reason, count) => void rejections.set(reason, (rejections.get(reason) ?? 0) + count),
    acceptFailed: (code, count) => void acceptErrors.set(code, (acceptErrors.get(code) ?? 0) + count),
    dialFailed: (upstream, { reason, source }) => {
      // Not a dial: that follows.
      if (reason === "WarmGone") return
      if (source === "backend") counters.failed(upstream.row)
      const text = dialReasons[reason]
      failures.set(text, (failures.get(text) ?? 0) + 1)
    },
    connected: ({ geo, listener, trace }, { affinity, lease, tier }, connectUs, tookMs) => {
      if (trace !== undefined) keep(listener.connectExemplars, CONNECT_BOUNDS, exemplarOf(trace, tookMs))
      flowed(geo.country, lease.upstream.backend.region)
      observe(listener.totals, CONNECT, CONNECT_BOUNDS, tookMs / 1_000)
      counters.connected(lease.upstream.row)
      if (connectUs !== undefined) counters.dialled(lease.upstream.row, connectUs)
      add(routed, tier * affinities.length + affinityCode[affinity], 1)
    },
    look: (record) => {
      const { connectUs, id, route } = record
      if (connectUs === undefined || route === undefined || !transport.counts(id, live)) return
      carry(record, route.lease.upstream, live.bytesIn, live.bytesOut)
    },
    ended: (record, ended, durationMs) => {
      const { listener, route, trace } = record
      if (trace !== undefined) keep(listener.lifetimeExemplars, LIFETIME_BOUNDS, exemplarOf(trace, durationMs))
      add(ends, indexOf(ended), 1)
      add(listener.totals, ENDED, 1)
      observe(listener.totals, LIFETIME, LIFETIME_BOUNDS, durationMs / 1_000)
      if (route === undefined) return
      carry(record, route.lease.upstream, ended.bytesIn, ended.bytesOut)
      if (brokenByBackend(ended)) counters.failed(route.lease.upstream.row)
    },
    rejections,
    acceptErrors,
    handshake: (result) => void handshakes.set(result, (handshakes.get(result) ?? 0) + 1),
    handshakes,
    dialFailures: failures,
    flows,
    routed: () => allRoutes.map((route, index) => ({ ...route, count: routed[index] ?? 0 })),
    terminations: () => allTerminations.map((termination, index) => ({ ...termination, count: ends[index] ?? 0 }))
  })
})
