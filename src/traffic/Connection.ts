import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Cause, Termination } from "../domain/Termination.ts"
import type { BackendTls } from "../tls/BackendTls.ts"
import { monotonicMs } from "../actor/Monotonic.ts"
import { WarmPool } from "../backends/WarmPool.ts"
import { Router } from "../routing/Router.ts"
import type { Upstream } from "../routing/Upstream.ts"
import * as BackendTlsTrouble from "./BackendTlsTrouble.ts"
import { type ConnectionRecord, noteFailure } from "./Connections.ts"
import * as ConnectionTrace from "./ConnectionTrace.ts"
import type { ProxyHeaderOut } from "./ProxyHeaderOut.ts"
import { TrafficCounters } from "./TrafficCounters.ts"
import { type BridgeOptions, type Bridged, type DialError, Transport, type WarmId } from "./Transport.ts"

export interface ConnectionOptions {
  readonly connectMs: number
  /** Distinct candidates tried before the client is closed (C1). */
  readonly attempts: number
  readonly keepaliveMs: number
  readonly limits: BridgeOptions["limits"]
  /** TLS to backends, as it is to be for the next dial; not of connections whose bytes are passed through as they are. */
  readonly backendTls?: () => BackendTls
}

const dialCauses: Readonly<Record<DialError["reason"], Cause>> = {
  Refused: "refused",
  Timeout: "connect-timeout",
  Unreachable: "unreachable",
  Reset: "rst",
  NoPorts: "limit",
  NoFds: "limit",
  NoMem: "limit",
  Denied: "unreachable",
  Gone: "rst",
  WarmGone: "rst",
  Tls: "tls"
}

// The proxy's own want of something: the next candidate would fare no better. Ports and permission depend on the target.
const exhausted: ReadonlySet<DialError["reason"]> = new Set(["NoFds", "NoMem"])

/** How a connection ends whose last dial failed so. */
export const dialTermination = (error: DialError): Termination => ({
  by: error.source,
  phase: "dial",
  cause: dialCauses[error.reason]
})

/**
 * The first part of a connection's life, from accept to flowing bytes (C1): choose and reserve, dial, on the backend's
 * failure the next candidate. A connection that was opened ahead takes the place of a dial (H5); one that turns out to be dead
 * is no attempt and no failure: the same backend is dialled. It ends when bytes flow or the client is closed; what follows needs no fiber.
 * The route is given back here for every dial that failed, and at the connection's end otherwise.
 */
export const make = Effect.fnUntraced(function* (options: ConnectionOptions, header?: ProxyHeaderOut) {
  const router = yield* Router
  const transport = yield* Transport
  const counters = yield* TrafficCounters
  const pool = yield* WarmPool
  const now = yield* monotonicMs
  const tellTlsTrouble = yield* BackendTlsTrouble.make

  const bridge = (
    record: ConnectionRecord,
    { backend }: Upstream,
    limits: BridgeOptions["limits"],
    warm?: WarmId
  ): Effect.Effect<Bridged | DialError> =>
    Effect.match(
      transport.bridge(record.id, {
        address: { address: backend.address, port: backend.port },
        connectMs: options.connectMs,
        keepaliveMs: options.keepaliveMs,
        limits,
        ...(header === undefined ? {} : { prelude: header(record) }),
        ...(warm === undefined ? {} : { warm }),
        ...(options.backendTls === undefined || !record.listener.tls ? {} : { tls: options.backendTls() }),
        ...(backend.host === undefined ? {} : { host: backend.host })
      }),
      { onFailure: (error) => error, onSuccess: (bridged) => bridged }
    )

  const serve = Effect.fnUntraced(function* (record: ConnectionRecord, failed?: DialError) {
    // It was bridged, and had nothing yet when that connection ended: the dial that was spared is made up for.
    let again = failed !== undefined && isWarmGone(failed) ? record.route : undefined
    let failure = again === undefined ? failed : undefined
    const limits = yield* jittered(options.limits)
    while (!record.ended) {
      const { trace } = record
      const routedFrom = trace === undefined ? 0 : now()
      const isAgain = again !== undefined
      const route = again ?? (record.attempts < options.attempts ? router.route(record) : "no-capacity")
      again = undefined
      if (trace !== undefined) ConnectionTrace.routed(trace, route, routedFrom, now())
      if (typeof route === "string") {
        const why = failure === undefined ? noRoute(route) : dialTermination(failure)
        return transport.abort(record.id, "rst", why)
      }
      record.route = route
      if (!isAgain) record.attempts++
      if (trace !== undefined) ConnectionTrace.dialling(trace, route, now())
      const { upstream } = route.lease
      // Those opened ahead are in clear, and in the hands of the engine that carries what is.
      const warm = isAgain || record.listener.tls ? undefined : pool.take(upstream)
      const first = yield* bridge(record, upstream, limits, warm)
      const isDead = "reason" in first && isWarmGone(first)
      if (isDead) pool.gone(upstream)
      const result = isDead ? yield* bridge(record, upstream, limits) : first
      const bridged = !("reason" in result)
      if (bridged) {
        const dialUs = warm === undefined || isDead ? result.connectUs : undefined
        if (!isAgain) counters.connected(record, route, dialUs, now() - record.acceptedAt)
        if (trace !== undefined) ConnectionTrace.connected(trace, result.connectUs)
      } else if (trace !== undefined) ConnectionTrace.dialFailed(trace, result, now())
      // Its end came first: the lease is back already.
      if (record.ended) return
      if (bridged) {
        record.connectUs = result.connectUs
        return router.commit(record, route)
      }
      failure = result
      counters.dialFailed(route.lease.upstream, failure)
      noteFailure(record, route.lease.upstream, failure)
      if (failure.reason === "Tls") yield* tellTlsTrouble(upstream.backend, failure)
      router.fail(route, failure.source === "backend")
      if (failure.source === "client") return
      if (exhausted.has(failure.reason)) return transport.abort(record.id, "rst", dialTermination(failure))
      record.tried = [...record.tried, route.lease.upstream]
    }
  })
  return { serve }
})

/** Says nothing but that one opened ahead can't be had: the client is as it was. */
export const isWarmGone = ({ reason }: DialError): boolean => reason === "WarmGone"

const noRoute = (cause: "no-backend" | "no-capacity"): Termination => ({ by: "proxy", phase: "route", cause })

// Connections opened together must not all end together (C3: 10 % either way).
const jittered = (limits: BridgeOptions["limits"]): Effect.Effect<BridgeOptions["limits"]> =>
  limits.maxAgeMs <= 0
    ? Effect.succeed(limits)
    : Effect.map(Random.next, (random) => ({ ...limits, maxAgeMs: limits.maxAgeMs * (0.9 + 0.2 * random) }))
