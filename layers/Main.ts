import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Supervisor } from "../src/actor/Supervisor.ts"
import { BackendEvents } from "../src/backends/BackendEvents.ts"
import * as SlowStart from "../src/backends/SlowStart.ts"
import * as transitionSpans from "../src/backends/transitionSpans.ts"
import { LiveConfig } from "../src/config/LiveConfig.ts"
import { Collectors } from "../src/observe/Collectors.ts"
import { Conditions } from "../src/observe/Conditions.ts"
import { servedApps, trafficListeners } from "../src/config/listeners.ts"
import { LoopDelay } from "../src/observe/LoopDelay.ts"
import { Telemetry } from "../src/observe/Telemetry.ts"
import { Bindings } from "../src/routing/Bindings.ts"
import { Circuits } from "../src/routing/Circuits.ts"
import { HostResolution } from "../src/routing/HostResolution.ts"
import * as Panic from "../src/routing/Panic.ts"
import { Router } from "../src/routing/Router.ts"
import { RoutingTable } from "../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../src/routing/TableSnapshotStore.ts"
import { Upstreams } from "../src/routing/Upstreams.ts"
import { Admission, connectionLimit } from "../src/traffic/Admission.ts"
import { ClientAdmission } from "../src/traffic/ClientAdmission.ts"
import { Connections } from "../src/traffic/Connections.ts"
import { Overload } from "../src/traffic/Overload.ts"
import * as CloseOnDown from "../src/traffic/CloseOnDown.ts"
import { RecentConnections } from "../src/traffic/RecentConnections.ts"
import { Shutdown } from "../src/traffic/Shutdown.ts"
import { Traffic } from "../src/traffic/Traffic.ts"
import { formatEndpoint } from "../src/traffic/Transport.ts"
import { TrafficCounters } from "../src/traffic/TrafficCounters.ts"
import { Parent } from "./handover/Parent.ts"
import { Host } from "./host/Host.ts"
import { memory } from "./host/memory.ts"
import { connectionsOf } from "./http/limits.ts"
import * as Logs from "./log/Logs.ts"
import { fdsOf } from "./dns/TcpServer.ts"
import * as NodeHostResolver from "./dns-resolver/NodeHostResolver.ts"
import * as MaxMindGeo from "./maxmind/MaxMindGeo.ts"
import * as SnapshotFile from "./snapshot/SnapshotFile.ts"
import { addressPolicies, isShared } from "./addresses.ts"
import { checksAtOnce, healthChecks } from "./checks.ts"
import { applyChanges, choiceOptions, circuitOptions, clientRules, liveConfig } from "./live.ts"
import { backendTls, certificates } from "./certificates.ts"
import { chooseDatabase } from "./sources.ts"
import { chooseTransport } from "./transport.ts"
import { warmPool } from "./warm.ts"

/** Completes `listens`, and tells whoever started the process that it listens, and that it serves. */
const tellOfBeginning = (listens: Deferred.Deferred<void>, begun: Effect.Effect<void>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { listening, serving } = yield* Parent
      const { firstTable } = yield* RoutingTable
      yield* Deferred.succeed(listens, undefined)
      yield* begun.pipe(
        Effect.andThen(Effect.sync(listening)),
        Effect.andThen(firstTable),
        Effect.andThen(Effect.sync(serving)),
        Effect.forkScoped
      )
    })
  )

/** Loading the API keeps the loop busy for longer than this: those who have waited for the listeners are served first. */
const FIRST_CLIENTS_MS = 50

/**
 * Begins soon after the traffic `listens`, in a fiber of its own, which the layer's scope owns; when it can't begin, neither can the
 * process.
 */
const afterTheTraffic = <E extends Error, R>(
  layer: Layer.Layer<never, E, R>,
  listens: Deferred.Deferred<void>,
  begun: Deferred.Deferred<void>
): Layer.Layer<never, never, R | Shutdown> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { failed } = yield* Shutdown
      const scope = yield* Effect.scope
      yield* Deferred.await(listens).pipe(
        Effect.andThen(Effect.sleep(FIRST_CLIENTS_MS)),
        Effect.andThen(Layer.buildWithScope(layer, scope)),
        Effect.matchEffect({
          onFailure: (error) => Deferred.fail(failed, error),
          onSuccess: () => Deferred.succeed(begun, undefined)
        }),
        // Its code can't be loaded, for one: another version lies in its place by now.
        Effect.catchDefect((defect) => Deferred.die(failed, defect)),
        Effect.forkScoped
      )
    })
  )

/**
 * The whole program as one layer, from the outside in. Each part is ended before the parts it stands on: ending the traffic
 * drains it while routing, source and log are still there (S3).
 */
const Edge = Layer.unwrap(
  Effect.gen(function* () {
    const live = yield* LiveConfig
    const config = live.current()
    const { addresses, fdLimit } = yield* Host
    const transport = yield* chooseTransport(config, fdLimit)
    const ownFds =
      transport.ownFds + (config.apiEnabled ? connectionsOf(fdLimit) : 0) + (config.dnsEnabled ? fdsOf(fdLimit) : 0)
    const atOnce = checksAtOnce(config, fdLimit)
    const toBackends = yield* backendTls(config)
    const freeFds = fdLimit - ownFds - atOnce
    const limit = yield* connectionLimit(config.maxConnections, freeFds)

    const snapshots =
      config.snapshotPath === undefined ? TableSnapshotStore.layerOff : SnapshotFile.layer(config.snapshotPath)

    const database = Layer.provide(chooseDatabase(config), snapshots)

    const policies = addressPolicies(config, addresses)
    const table = RoutingTable.layer({
      get maxShrink() {
        return live.current().tableMaxShrink
      },
      get holdMs() {
        return live.current().tableHoldMs
      },
      refuses: policies.shared,
      // Whoever answers for a name is none of those who write the table: it is judged like a stranger's registration.
      refusesFound: isShared(config) ? policies.shared : policies.registered
    }).pipe(Layer.provide(snapshots))

    const hosts = HostResolution.layer({
      // A port that no listener can have: each row's own is judged with it.
      refuses: (address) => (isShared(config) ? policies.shared : policies.registered)({ address, port: -1 })
    }).pipe(Layer.provide(NodeHostResolver.layer({ servers: config.dnsResolvers.map(formatEndpoint) })))

    const router = Router.layer({
      region: config.region,
      get bindingMaxConnections() {
        return live.current().bindingMaxConnections
      }
    })

    const routing = Layer.mergeAll(table, router).pipe(
      Layer.provideMerge(Circuits.layer(circuitOptions(config))),
      Layer.provideMerge(
        Layer.mergeAll(
          database,
          Upstreams.layer(choiceOptions(config)),
          Bindings.layer({
            ttlMs: config.bindingTtlMs,
            gcIntervalMs: config.bindingGcIntervalMs,
            max: config.bindingMax
          })
        )
      )
    )

    const watching = Layer.mergeAll(
      BackendEvents.layer({ apps: servedApps(config) }),
      hosts,
      healthChecks(config, atOnce, toBackends),
      warmPool(config, fdLimit, freeFds),
      Panic.layer,
      SlowStart.layer({
        get slowStartMs() {
          return live.current().slowStartMs
        }
      }),
      transitionSpans.layer,
      CloseOnDown.layer({
        get enabled() {
          return live.current().onBackendDown === "close"
        }
      })
    )

    const geo = MaxMindGeo.layer({
      path: config.geoipPath,
      get overrides() {
        return live.current().geoOverrides
      }
    })

    const traffic = Traffic.layer({
      listeners: trafficListeners(config),
      trusted: config.proxyProtocolTrustedCidrs,
      proxyOut: config.proxyProtocolOut,
      preroute: { sniRoutes: config.tlsSniRoutes, unknownSni: config.tlsUnknownSni },
      extras: {
        deferAcceptMs: config.tcpDeferAcceptMs,
        fastOpen: config.tcpFastOpen,
        reusePort: config.tcpReusePort
      },
      pop: config.popId,
      prerouteMs: config.prerouteTimeoutMs,
      connection: {
        connectMs: config.connectTimeoutMs,
        attempts: config.connectAttempts,
        keepaliveMs: config.tcpKeepaliveMs,
        ...(toBackends === undefined ? {} : { backendTls: toBackends }),
        limits: {
          idleMs: config.idleTimeoutMs,
          finMs: config.finTimeoutMs,
          stallMs: config.stallTimeoutMs,
          maxAgeMs: config.maxConnectionMs
        }
      },
      drain: {
        graceMs: config.shutdownGraceMs,
        timeoutMs: config.shutdownTimeoutMs,
        paceMs: config.shutdownPaceMs
      }
    })

    const overload = Overload.layer({
      loopDelayMs: config.overloadLoopDelayMs,
      memoryShare: config.overloadMemory === 0 ? Infinity : config.overloadMemory,
      memory
    }).pipe(Layer.provideMerge(LoopDelay.layer))

    // Loaded only when it is wanted: HTTP would cost every start.
    const exports = (yield* Telemetry) !== undefined
    const metrics =
      config.metricsEnabled || exports
        ? Layer.unwrap(
            Effect.map(
              Effect.promise(() => import("./metrics.ts")),
              ({ MetricsEndpoint, MetricsExport }) =>
                config.metricsEnabled ? Layer.mergeAll(MetricsEndpoint, MetricsExport) : MetricsExport
            )
          )
        : Layer.empty

    const listens = yield* Deferred.make<void>()
    const apiBegun = yield* Deferred.make<void>()
    // Loaded while the listeners serve already. It ends after the traffic: during the drain it says so.
    const api = config.apiEnabled
      ? afterTheTraffic(
          Layer.unwrap(
            Effect.map(
              Effect.promise(() => import("./api.ts")),
              ({ ApiEndpoint }) => ApiEndpoint
            )
          ),
          listens,
          apiBegun
        )
      : Layer.empty

    const dns = config.dnsEnabled
      ? Layer.unwrap(
          Effect.map(
            Effect.promise(() => import("./dns.ts")),
            ({ DnsEndpoint }) => DnsEndpoint
          )
        )
      : Layer.empty

    // It ends after the traffic, which has it withdrawn before anything else (S3).
    const anycast = config.anycastEnabled
      ? Layer.unwrap(
          Effect.map(
            Effect.promise(() => import("./anycast.ts")),
            ({ AnycastRoute }) => AnycastRoute
          )
        )
      : Layer.empty

    const begun = config.apiEnabled ? Deferred.await(apiBegun) : Effect.void

    return tellOfBeginning(listens, begun).pipe(
      Layer.provideMerge(traffic),
      Layer.provide([metrics, api, dns]),
      Layer.provide(anycast),
      Layer.provide([TrafficCounters.layer, overload]),
      Layer.provide(Layer.provideMerge(applyChanges, watching)),
      Layer.provide([
        routing,
        geo,
        transport.layer(limit),
        Connections.layer,
        RecentConnections.layer,
        certificates(config),
        Admission.layer(limit),
        ClientAdmission.layer(clientRules(config)),
        Logs.accessLog(config.accessLog)
      ])
    )
  })
)

/** With what may change while it runs, and who looks after whoever runs. */
export const Main = Edge.pipe(
  Layer.provide(liveConfig),
  Layer.provide([Conditions.layer, Collectors.layer]),
  Layer.provide(Supervisor.layer)
)
