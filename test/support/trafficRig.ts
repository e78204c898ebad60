import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { WarmPool, type WarmPoolLimits, type WarmPoolOptions } from "../../src/backends/WarmPool.ts"
import { warmMetrics } from "../../src/backends/warmMetrics.ts"
import { type AccessEntry, AccessLog } from "../../src/observe/AccessLog.ts"
import { Bindings } from "../../src/routing/Bindings.ts"
import { LoopDelay } from "../../src/observe/LoopDelay.ts"
import { routingMetrics } from "../../src/routing/routingMetrics.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { RoutingTable, type TableSnapshot } from "../../src/routing/RoutingTable.ts"
import { connectionsOf } from "../../src/routing/Upstream.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { Admission } from "../../src/traffic/Admission.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import { ClientAdmission, type ClientRules } from "../../src/traffic/ClientAdmission.ts"
import * as CloseOnDown from "../../src/traffic/CloseOnDown.ts"
import type { ConnectionOptions } from "../../src/traffic/Connection.ts"
import { Connections } from "../../src/traffic/Connections.ts"
import type { DrainOptions } from "../../src/traffic/Drain.ts"
import { Overload, type OverloadOptions } from "../../src/traffic/Overload.ts"
import { Announcement, type AnnouncementState } from "../../src/anycast/Announcement.ts"
import { RecentConnections } from "../../src/traffic/RecentConnections.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { Traffic, type TrafficOptions } from "../../src/traffic/Traffic.ts"
import { TrafficCounters } from "../../src/traffic/TrafficCounters.ts"
import type { TrafficListener } from "../../src/traffic/TrafficListener.ts"
import { trafficMetrics } from "../../src/traffic/trafficMetrics.ts"
import { noExtras, Transport } from "../../src/traffic/Transport.ts"
import * as exposition from "./exposition.ts"
import { backend, client, geoOf } from "./fixtures.ts"
import { routing, type RoutingOptions } from "./routing.ts"
import * as ScriptedTransport from "./ScriptedTransport.ts"
import { settled } from "./settled.ts"
import { hostless } from "./hostless.ts"

export interface TrafficRigOptions {
  readonly connection?: Partial<ConnectionOptions>
  readonly drain?: Partial<DrainOptions>
  readonly listeners?: ReadonlyArray<Partial<TrafficListener> & Pick<TrafficListener, "address" | "app">>
  readonly trusted?: TrafficOptions["trusted"]
  readonly proxyOut?: TrafficOptions["proxyOut"]
  readonly preroute?: Partial<TrafficOptions["preroute"]>
  readonly routing?: RoutingOptions
  readonly maxConnections?: number
  /** EDGEPROXY_ON_BACKEND_DOWN=close */
  readonly closeOnDown?: boolean
  readonly clients?: Partial<ClientRules>
  /** EDGEPROXY_POOL_ENABLED=true */
  readonly warm?: WarmPoolOptions
  readonly warmLimits?: Partial<WarmPoolLimits>
  readonly overload?: Partial<OverloadOptions>
  /** An anycast route that is withdrawn before a drain. */
  readonly announcement?: AnnouncementState
  /** Whether the first table is there from the start. */
  readonly table?: boolean
}

/** Everybody may connect, as often as they like. */
export const openRules: ClientRules = { allow: [], deny: [], denyCountries: [], maxConnections: 0, rate: undefined }

const plentyOfMemory = { share: Effect.succeed(0.5), collect: Effect.void }

export const limits = { idleMs: 3_600_000, finMs: 60_000, stallMs: 120_000, maxAgeMs: 0 }

/** A client of this address is in Brazil; of all others nothing is known. */
export const brazilian = "198.51.100.1"

/** All traffic on a scripted transport. Clients and backends are played by the test. */
export const make = Effect.fnUntraced(function* (options: TrafficRigOptions = {}) {
  const clock = yield* Clock.clockWith(Effect.succeed)
  const transport = ScriptedTransport.make(() => clock.currentTimeMillisUnsafe())
  const entries: Array<AccessEntry> = []
  const first = yield* Deferred.make<void>()
  if (options.table ?? true) yield* Deferred.succeed(first, undefined)
  const table = RoutingTable.of({
    ...hostless,
    snapshot: yield* SubscriptionRef.make<TableSnapshot>({
      version: 0,
      origin: "none",
      backends: new Map(),
      quarantined: new Map(),
      badIds: new Set(),
      states: new Map()
    }),
    firstTable: Deferred.await(first),
    status: () => ({
      version: 0,
      origin: "none",
      backends: 0,
      quarantined: 0,
      ageMs: undefined,
      lost: undefined,
      held: undefined
    }),
    confirm: Effect.succeed(false),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const shutdown = Shutdown.make()
  const layer = Traffic.layer({
    listeners: (options.listeners ?? [{ address: { address: "0.0.0.0", port: 8_080 }, app: undefined }]).map(
      (listener) => ({ kind: "tcp", proxyIn: "off", ...listener })
    ),
    trusted: options.trusted ?? [],
    proxyOut: options.proxyOut ?? "off",
    preroute: { sniRoutes: [], unknownSni: "default", ...options.preroute },
    extras: noExtras,
    pop: "gru1",
    prerouteMs: 5_000,
    connection: { connectMs: 3_000, attempts: 3, keepaliveMs: 30_000, limits, ...options.connection },
    drain: { graceMs: 0, timeoutMs: 30_000, paceMs: 0, ...options.drain }
  }).pipe(
    Layer.provideMerge(TrafficCounters.layer),
    Layer.provideMerge(
      WarmPool.layer(options.warm, { most: 100, connections: 1_000, keepaliveMs: 30_000, ...options.warmLimits })
    ),
    Layer.provideMerge(CloseOnDown.layer({ enabled: options.closeOnDown === true })),
    Layer.provideMerge(
      Overload.layer({ loopDelayMs: 200, memoryShare: 0.9, memory: plentyOfMemory, ...options.overload }).pipe(
        Layer.provide(LoopDelay.layer)
      )
    ),
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Transport, transport.service),
        Layer.succeed(RoutingTable, table),
        Layer.succeed(Shutdown.Shutdown, shutdown),
        Layer.succeed(Announcement, options.announcement),
        AccessLog.layerMemory(entries),
        Admission.layer(options.maxConnections ?? 1_000),
        ClientAdmission.layer({ ...openRules, ...options.clients }),
        Certificates.layerOff,
        Connections.layer,
        RecentConnections.layer,
        GeoResolver.layerFixed(new Map([[brazilian, geoOf("BR")]])),
        routing(options.routing)
      )
    )
  )
  const scope = yield* Scope.fork(yield* Effect.scope)
  const services = yield* Layer.buildWithScope(layer, scope)
  // A test may end while connections run; the drain then has nothing to wait for.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      Shutdown.request(shutdown)
      Shutdown.request(shutdown)
    })
  )
  yield* settled
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    const bindings = yield* Bindings
    return {
      transport,
      entries,
      upstreams,
      shutdown,
      traffic: yield* Traffic,
      connections: yield* Connections,
      recent: yield* RecentConnections,
      admission: yield* Admission,
      clients: yield* ClientAdmission,
      pool: yield* WarmPool,
      overload: yield* Overload,
      counters: yield* TrafficCounters,
      /** What a scrape shows now. */
      scrape: exposition.read(yield* Effect.all([trafficMetrics, routingMetrics, warmMetrics])),
      /** The backend a client is bound to, and the connections open through the binding. */
      bound: (address: string): readonly [backend: string | undefined, open: number] | undefined => {
        const binding = bindings.find(client(address).key, 0)
        return binding && [upstreams.bySeq(binding.backend)?.backend.id, binding.open]
      },
      /** The first table is there. */
      publish: Effect.andThen(Deferred.succeed(first, undefined), settled),
      /** Connections and reservations of a backend. */
      load: (id: string): number => {
        const upstream = upstreams.get(id)
        return upstream === undefined ? -1 : connectionsOf(upstream)
      },
      /** Ends everything, as a signal does. */
      stop: Effect.suspend(() => {
        Shutdown.request(shutdown)
        return Scope.close(scope, Exit.void)
      })
    }
  }).pipe(Effect.provideContext(services))
})

export type Rig = Effect.Success<ReturnType<typeof make>>

/** A rig with backends b1, b2 ... at 10.0.0.1, 10.0.0.2 ... in the POP's region. */
export const withBackends = Effect.fnUntraced(function* (backends: number, options?: TrafficRigOptions) {
  const rig = yield* make(options)
  for (let index = 1; index <= backends; index++) {
    rig.upstreams.put(backend({ id: `b${index}`, address: `10.0.0.${index}`, region: "sa" }))
  }
  return rig
})
