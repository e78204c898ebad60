import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as IpNetwork from "effect/net/IpNetwork"
import { monotonicMs } from "../actor/Monotonic.ts"
import { clientFromText } from "../domain/Client.ts"
import * as NetworkSet from "../domain/NetworkSet.ts"
import type { Termination } from "../domain/Termination.ts"
import { WarmPool } from "../backends/WarmPool.ts"
import { AccessLog } from "../observe/AccessLog.ts"
import { Tracing } from "../observe/Tracing.ts"
import { GeoResolver } from "../routing/GeoResolver.ts"
import type { Certificates } from "../tls/Certificates.ts"
import { Router } from "../routing/Router.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { accessEntry, connectionName, type EntryContext } from "./accessEntry.ts"
import { Admission } from "./Admission.ts"
import { ClientAdmission } from "./ClientAdmission.ts"
import * as Connection from "./Connection.ts"
import { type ConnectionRecord, Connections, noteFailure, recordOf } from "./Connections.ts"
import * as ConnectionTrace from "./ConnectionTrace.ts"
import { drain, type DrainOptions } from "./Drain.ts"
import type { ListenerCounters } from "./ListenerCounters.ts"
import * as Preroute from "./Preroute.ts"
import * as ProxyHeaderOut from "./ProxyHeaderOut.ts"
import { RecentConnections } from "./RecentConnections.ts"
import * as Refusals from "./Refusals.ts"
import type { Shutdown } from "./Shutdown.ts"
import { TrafficCounters } from "./TrafficCounters.ts"
import type { TrafficListener } from "./TrafficListener.ts"
import {
  type Accepted,
  type DialError,
  type Ended,
  type Endpoint,
  formatEndpoint,
  type ListenError,
  type Listener,
  type ListenExtras,
  Transport
} from "./Transport.ts"

export interface TrafficOptions {
  readonly listeners: ReadonlyArray<TrafficListener>
  readonly preroute: Preroute.PrerouteOptions
  /** Peers whose PROXY headers are believed. */
  readonly trusted: ReadonlyArray<IpNetwork.IpNetwork>
  /** Which PROXY header backends get. */
  readonly proxyOut: ProxyHeaderOut.ProxyOut
  readonly extras: ListenExtras
  readonly pop: string
  readonly prerouteMs: number
  readonly connection: Connection.ConnectionOptions
  readonly drain: DrainOptions
}

/** Kernel's accept queue; it caps the value at net.core.somaxconn. */
const BACKLOG = 4_096

/** How long clients may wait for the first table before they are told that there is no backend (T3). */
const FIRST_TABLE_MS = 5_000

/**
 * Listeners and what becomes of their connections. Each accepted connection is a short fiber until bytes flow, then a
 * record; the engine's end event closes the account: lease back, binding closed, logged, counted. Ending the scope drains.
 */
export class Traffic extends Context.Service<
  Traffic,
  {
    /** As bound: port 0 is resolved. */
    readonly addresses: ReadonlyArray<Endpoint>
  }
>()("edgeproxy/traffic/Traffic") {
  static readonly layer = (
    options: TrafficOptions
  ): Layer.Layer<
    Traffic,
    ListenError,
    | AccessLog
    | Admission
    | Certificates
    | ClientAdmission
    | Connections
    | RecentConnections
    | GeoResolver
    | Router
    | RoutingTable
    | Shutdown
    | TrafficCounters
    | Transport
    | WarmPool
  > => Layer.effect(Traffic, make(options))
}

export const make = Effect.fnUntraced(
  function* (options: TrafficOptions) {
    const transport = yield* Transport
    const table = yield* RoutingTable
    const connections = yield* Connections
    const admission = yield* Admission
    const clients = yield* ClientAdmission
    const router = yield* Router
    const geo = yield* GeoResolver
    const log = yield* AccessLog
    const counters = yield* TrafficCounters
    const pool = yield* WarmPool
    const tracer = yield* Tracing
    const wall = yield* Clock.clockWith(Effect.succeed)
    const now = yield* monotonicMs
    const recent = yield* RecentConnections
    const { bootId } = recent
    const { serve } = yield* Connection.make(
      options.connection,
      ProxyHeaderOut.make(options.proxyOut, options.pop, bootId)
    )
    const trusted = NetworkSet.make(options.trusted)
    const { learn } = yield* Preroute.make(options.preroute)
    const fibers = yield* FiberSet.make<void>()
    const fork = yield* FiberSet.runtime(fibers)()

    const gate = yield* Latch.make(false)
    yield* table.firstTable.pipe(
      Effect.timeoutOption(FIRST_TABLE_MS),
      Effect.tap((first) =>
        first._tag === "None"
          ? Effect.logError("no routing table yet; clients are refused until there is one")
          : Effect.void
      ),
      Effect.andThen(gate.open),
      Effect.forkScoped
    )

    const route = (record: ConnectionRecord, failed?: DialError): Effect.Effect<void> =>
      gate.isOpen() ? serve(record, failed) : Effect.andThen(gate.await, serve(record, failed))

    const start = (record: ConnectionRecord, life: Effect.Effect<void>): void =>
      void fork(
        Effect.catchCause(life, (cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.void
          transport.abort(record.id, "rst", internal)
          return Effect.logError("connection failed by a fault of the proxy", cause)
        })
      )

    const contextOf = (durationMs: number): EntryContext => ({
      pop: options.pop,
      bootId,
      endedAt: wall.currentTimeMillisUnsafe(),
      durationMs
    })

    const beginTrace = (record: ConnectionRecord): void => {
      const span = tracer.begin()
      if (span !== undefined) record.trace = ConnectionTrace.begin(span)
    }

    const finishTrace = (
      trace: ConnectionTrace.ConnectionTrace,
      record: ConnectionRecord,
      ended: Ended,
      durationMs: number
    ): void => {
      const place = { conn: connectionName(bootId, record.id), endedAtMs: record.acceptedAt + durationMs }
      const finish = (): void => ConnectionTrace.spansOf(tracer, trace, record, ended, place).forEach(tracer.finish)
      // It carried bytes, and the fiber that dialled has still to hear of it.
      if (ended.phase === "relay" && trace.dials.at(-1)?.toMs === undefined) trace.finish = finish
      else finish()
    }

    const refusals = Refusals.make({
      now,
      // Those that get a line may get a span: few enough in any flood.
      write: (record, why) => {
        const ended = { ...nothingCarried, ...why, id: record.id }
        if (record.trace === undefined) beginTrace(record)
        const entry = accessEntry(record, ended, contextOf(0))
        log.write(entry)
        recent.add({ entry, decision: undefined, failures: [] })
        if (record.trace !== undefined) finishTrace(record.trace, record, ended, now() - record.acceptedAt)
      },
      fork
    })

    // All of it in the step of the accept: whoever is refused costs no fiber, no route and no dial.
    const onAccept = (spec: TrafficListener, listener: ListenerCounters, accepted: Accepted): void => {
      const client = clientFromText(accepted.remote.address)
      if (client === undefined) {
        counters.rejected("no-address", 1)
        refusals.counted("no-address", 1)
        return transport.abort(accepted.id, "rst", Refusals.refusalTermination("no-address"))
      }
      const record = recordOf(accepted, listener, client, geo.resolve(client), now())
      // A peer that may name the client is none itself until it has been heard.
      const isTrusted = spec.proxyIn !== "off" && trusted.has(client)
      const refusal = admission.isFull()
        ? "limit"
        : isTrusted
          ? undefined
          : spec.proxyIn === "required"
            ? "untrusted-peer"
            : clients.admit(client, record.geo)
      if (refusal !== undefined) {
        counters.rejected(refusal, 1)
        refusals.refused(record, refusal)
        return transport.abort(accepted.id, "rst", Refusals.refusalTermination(refusal))
      }
      beginTrace(record)
      record.admitted = !isTrusted
      admission.enter()
      connections.add(record)
      counters.accepted(listener)
      const header = isTrusted || spec.proxyIn === "off" ? spec.proxyIn : "forged"
      start(
        record,
        spec.kind === "tcp" && header === "off"
          ? route(record)
          : Effect.flatMap(learn(record, spec, header), (routable) => (routable ? route(record) : Effect.void))
      )
    }

    const onEnd = (ended: Ended): void => {
      const record = connections.get(ended.id)
      if (record === undefined) return
      record.ended = true
      const durationMs = now() - record.acceptedAt
      counters.ended(record, ended, durationMs)
      if (record.route !== undefined) router.end(record.route, ended.phase === "relay" ? ended : undefined)
      admission.leave()
      if (record.admitted) clients.leave(record.client.key)
      // Lines of those who are turned away are bounded, here as at the accept.
      if (record.refusal !== undefined) refusals.refused(record, record.refusal)
      else {
        const entry = accessEntry(record, ended, contextOf(durationMs))
        log.write(entry)
        recent.add({ entry, decision: record.route?.decision, failures: record.failures })
        if (record.trace !== undefined) finishTrace(record.trace, record, ended, durationMs)
      }
      connections.remove(record)
    }

    const onUnbridged = (id: number, error: DialError): void => {
      const record = connections.get(id)
      if (record?.route === undefined) return
      const { upstream } = record.route.lease
      if (Connection.isWarmGone(error)) {
        pool.gone(upstream)
        record.connectUs = undefined
        return start(record, route(record, error))
      }
      counters.dialFailed(upstream, error)
      noteFailure(record, upstream, error)
      if (record.trace !== undefined) ConnectionTrace.dialFailed(record.trace, error, now())
      router.fail(record.route, error.source === "backend")
      record.tried = [...record.tried, upstream]
      record.connectUs = undefined
      start(record, route(record, error))
    }

    const onAcceptError = ({ code, count }: { readonly code: string; readonly count: number }): void => {
      // An engine that can't leave clients in the backlog resets them while its listener is paused, and gives the reason.
      if (code === "limit" || code === "overload") counters.rejected(code, count)
      else counters.acceptFailed(code, count)
      refusals.counted(code, count)
    }

    const listen = Effect.fnUntraced(function* (spec: TrafficListener) {
      const { address, app, kind } = spec
      const tls = kind === "tls-terminate" || (kind === "tcp" && options.connection.backendTls !== undefined)
      const counted = counters.addListener(formatEndpoint(address), app, tls)
      const listener = yield* transport.listen(
        {
          address,
          ipv6Only:
            address.address === "::" && options.listeners.some(({ address: other }) => hasIpv4(address.port, other)),
          backlog: BACKLOG,
          prerouteMs: options.prerouteMs,
          keepaliveMs: options.connection.keepaliveMs,
          tellLocal: options.proxyOut !== "off",
          extras: options.extras,
          tls
        },
        {
          onAccept: (batch) => batch.forEach((accepted) => onAccept(spec, counted, accepted)),
          onEnd: (batch) => batch.forEach(onEnd),
          onUnbridged,
          onAcceptError
        }
      )
      counted.address = formatEndpoint(listener.address)
      admission.attach(listener)
      yield* Effect.logInfo("listening", { address: counted.address, app: app ?? "", kind, engine: transport.engine })
      return listener
    })

    const listeners: ReadonlyArray<Listener> = yield* Effect.forEach(options.listeners, listen)
    const environment = yield* Effect.context<Connections | Shutdown | Transport>()
    // Registered last, so that it runs first: while it waits, everything that connections need is still there. A fiber of
    // its own, because in the one that is being interrupted a wait would end at once.
    yield* Effect.addFinalizer(() =>
      drain(listeners, options.drain).pipe(
        Effect.provideContext(environment),
        Effect.forkDetach,
        Effect.flatMap(Fiber.join)
      )
    )
    return Traffic.of({ addresses: listeners.map(({ address }) => address) })
  },
  Effect.annotateLogs({ service: "traffic" })
)

// Both can only be had when the IPv6 wildcard leaves IPv4 alone.
const hasIpv4 = (port: number, other: Endpoint): boolean =>
  !other.address.includes(":") && other.port === port && port !== 0

const nothingCarried = { bytesIn: 0, bytesOut: 0, firstByteUs: undefined, code: undefined }
const internal: Termination = { by: "proxy", phase: "pre-route", cause: "internal" }
