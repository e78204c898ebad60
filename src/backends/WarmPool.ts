import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import * as Demand from "../domain/Demand.ts"
import { connectionsOf, isWanted, type Upstream } from "../routing/Upstream.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import { Admission } from "../traffic/Admission.ts"
import { Shutdown } from "../traffic/Shutdown.ts"
import { type DialError, Transport, type WarmEvents, type WarmId } from "../traffic/Transport.ts"

export interface WarmPoolOptions {
  readonly maxPerBackend: number
  /** For a connection that never had a client, to wait and to be are one: the shorter of the two ends it. */
  readonly idleTimeoutMs: number
  readonly maxLifetimeMs: number
  readonly connectMs: number
}

/** What the process allows; it does not change while it runs. */
export interface WarmPoolLimits {
  /** Connections opened ahead, of all backends together. */
  readonly most: number
  /** Client connections that the file descriptors allow: one opened ahead stands in the place of one of them. */
  readonly connections: number
  readonly keepaliveMs: number
}

export const warmEvents = ["opened", "used", "gone", "lost", "failed", "expired", "discarded"] as const

/**
 * What has become of connections: `opened` ahead; `used` by a client; of those, `gone`: dead at the hand-over; `lost`: ended by
 * the backend while it waited; `failed`: the dial; `expired`: too old; `discarded`: not wanted any more.
 */
export type WarmEvent = (typeof warmEvents)[number]

/**
 * Connections to backends, opened ahead of their clients (H5): who gets one is spared the wait for a dial. Each leaves the
 * pool once, for one client, and what has had a client never comes back, so that no byte of one can reach another.
 *
 * For each backend that clients are sent to there are as many as its busiest second wanted of late ({@link Demand}), at least
 * one, at most `maxPerBackend`, and none once nobody has come for two idle timeouts. One that is used is replaced at once, in
 * the background. There are none for a backend that is down, drained, gone, or whose circuit is not closed, whatever a panic
 * says (H3): in a panic clients are dialled for.
 *
 * Clients come first: live, reserved and warm connections of a backend stay within its hard limit, since a newcomer takes the
 * place of a warm one, and so it is with descriptors.
 *
 * When a dial fails, or the backend ends one that waits, the pool leaves that backend alone for a second, twice as long with
 * each time in a row, up to a minute; then one is tried, and more only when that has had a client. A failed dial has the
 * backend's check hurried, as a client's does. Its circuit is not told: that counts what became of clients (H2), and half a
 * dozen dials that nobody waited for must not take a backend out. A connection that is lost says even less, since many
 * servers end those that stay silent.
 */
export class WarmPool extends Context.Service<
  WarmPool,
  {
    /**
     * A client has a place reserved on the backend: a connection for it, or undefined, then it is dialled for. In the turn of
     * the reservation.
     */
    readonly take: (upstream: Upstream) => WarmId | undefined
    /** One that was taken has turned out to be dead. */
    readonly gone: (upstream: Upstream) => void
    readonly count: (event: WarmEvent) => number
    /** Opened ahead, or being opened. */
    readonly size: () => number
    /** Undefined turns it off, and closes what there is. In force when it returns. */
    readonly setOptions: (options: WarmPoolOptions | undefined) => void
  }
>()("edgeproxy/backends/WarmPool") {
  /** Undefined: off. */
  static readonly layer = (
    options: WarmPoolOptions | undefined,
    limits: WarmPoolLimits
  ): Layer.Layer<WarmPool, never, Admission | Shutdown | Supervisor | Transport | Upstreams> =>
    Layer.effect(WarmPool, make(options, limits))
}

/** The connections of one backend, where it is now: one that moves is another. */
interface Target {
  readonly upstream: Upstream
  readonly address: string
  readonly port: number
  demand: Demand.Demand
  readonly opening: Set<WarmId>
  /** The oldest first. */
  readonly idle: Array<Idle>
  /** Times in a row that it has failed. */
  failures: number
  /** Until then it is left alone. */
  pausedUntil: number
}

interface Idle {
  readonly id: WarmId
  readonly since: number
  /** Part of its time that it gets: those opened together must not all end together. */
  readonly share: number
}

const UPKEEP_MS = 500
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

export const make = Effect.fnUntraced(
  function* (initial: WarmPoolOptions | undefined, limits: WarmPoolLimits) {
    const transport = yield* Transport
    const upstreams = yield* Upstreams
    const admission = yield* Admission
    const supervisor = yield* Supervisor
    const shutdown = yield* Shutdown
    const random = yield* Random.Random
    const now = yield* monotonicMs
    const targets = new Map<Upstream, Target>()
    /** In the order of their opening. */
    const byId = new Map<WarmId, Target>()
    const counts: Record<WarmEvent, number> = {
      opened: 0,
      used: 0,
      gone: 0,
      lost: 0,
      failed: 0,
      expired: 0,
      discarded: 0
    }
    let options = initial
    let stopped = false
    /** Those that may want more. */
    const short = new Set<Target>()
    const someShort = yield* Latch.make(false)
    const someTarget = yield* Latch.make(false)

    const room = (): number => Math.min(limits.most, limits.connections - admission.active())

    /** It is not in the pool any more, whatever becomes of it. */
    const leave = (id: WarmId, target: Target): void => {
      byId.delete(id)
      target.upstream.warm--
      if (target.opening.delete(id)) return
      const index = target.idle.findIndex((each) => each.id === id)
      if (index >= 0) target.idle.splice(index, 1)
    }

    const discard = (id: WarmId, target: Target, why: "discarded" | "expired"): void => {
      leave(id, target)
      counts[why]++
      transport.discard(id)
    }

    const discardOne = (target: Target): void => {
      // Who is still on the way is no use yet; else the oldest.
      const [opening] = target.opening
      const id = opening ?? target.idle[0]?.id
      if (id !== undefined) discard(id, target, "discarded")
    }

    const drop = (target: Target): void => {
      while (target.opening.size + target.idle.length > 0) discardOne(target)
      targets.delete(target.upstream)
      short.delete(target)
    }

    const dropAll = (): void => {
      for (const target of targets.values()) drop(target)
    }

    const isSameServer = ({ address, port, upstream: { backend } }: Target): boolean =>
      backend.address === address && backend.port === port

    /** A client or another limit needs the place: nobody is ever turned away for the sake of the pool. */
    const yieldPlaces = (target: Target): void => {
      const { upstream } = target
      while (upstream.warm > 0 && connectionsOf(upstream) + upstream.warm > upstream.backend.hardLimit)
        discardOne(target)
      while (byId.size > Math.max(0, room())) {
        const [oldest] = byId
        if (oldest === undefined) return
        discard(...oldest, "discarded")
      }
    }

    const fail = (target: Target): void => {
      // Those that fail together have failed once.
      if (now() < target.pausedUntil) return
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** target.failures)
      target.failures++
      target.pausedUntil = now() + pauseMs * (0.75 + random.nextDoubleUnsafe() / 2)
    }

    const events: WarmEvents = {
      onWarm: (id, connectUs) => {
        const target = byId.get(id)
        if (target === undefined) return
        target.opening.delete(id)
        target.idle.push({ id, since: now(), share: 1 - random.nextDoubleUnsafe() / 10 })
        counts.opened++
        upstreams.counters.dialled(target.upstream.row, connectUs)
      },
      onWarmLost: (id, error) => {
        const target = byId.get(id)
        if (target === undefined) return
        leave(id, target)
        counts[error.reason === "WarmGone" ? "lost" : "failed"]++
        fail(target)
        if (isBlamed(error)) upstreams.suspect(target.upstream)
      }
    }

    const wants = (target: Target, { idleTimeoutMs, maxPerBackend }: WarmPoolOptions): boolean => {
      const { failures, upstream } = target
      const most = failures > 0 ? 1 : maxPerBackend
      return (
        upstream.warm < Math.min(most, Demand.peak(target.demand, now(), idleTimeoutMs)) &&
        connectionsOf(upstream) + upstream.warm < upstream.backend.hardLimit &&
        byId.size < room()
      )
    }

    const fill = (target: Target): void => {
      if (options === undefined || stopped || targets.get(target.upstream) !== target) return
      if (!isSameServer(target) || !mayHave(target.upstream) || now() < target.pausedUntil) return
      const { connectMs } = options
      const { address, port, upstream } = target
      while (wants(target, options)) {
        const id = transport.warm({ address: { address, port }, connectMs, keepaliveMs: limits.keepaliveMs }, events)
        target.opening.add(id)
        byId.set(id, target)
        upstream.warm++
      }
    }

    const upkeep = (target: Target): void => {
      if (options === undefined || targets.get(target.upstream) !== target) return
      if (!isSameServer(target) || !mayHave(target.upstream)) return drop(target)
      const longestMs = Math.min(options.idleTimeoutMs, options.maxLifetimeMs)
      for (const { id, share, since } of Array.from(target.idle)) {
        if (now() - since >= longestMs * share) discard(id, target, "expired")
      }
      while (target.upstream.warm > options.maxPerBackend) discardOne(target)
      yieldPlaces(target)
      fill(target)
      const isNeeded = target.upstream.warm > 0 || now() < target.pausedUntil
      if (!isNeeded && Demand.peak(target.demand, now(), options.idleTimeoutMs) === 0) targets.delete(target.upstream)
    }

    const targetOf = (upstream: Upstream): Target => {
      const known = targets.get(upstream)
      if (known !== undefined && isSameServer(known)) return known
      if (known !== undefined) drop(known)
      const { address, port } = upstream.backend
      const target: Target = {
        upstream,
        address,
        port,
        demand: Demand.none,
        opening: new Set(),
        idle: [],
        failures: 0,
        pausedUntil: -Infinity
      }
      targets.set(upstream, target)
      someTarget.openUnsafe()
      return target
    }

    const take = (upstream: Upstream): WarmId | undefined => {
      if (options === undefined || stopped) return undefined
      const target = targetOf(upstream)
      target.demand = Demand.used(target.demand, now(), options.idleTimeoutMs)
      // The youngest: it is the least likely to be dead, and those that are not needed grow old.
      const id = target.idle.at(-1)?.id
      if (id !== undefined) {
        leave(id, target)
        counts.used++
        target.failures = 0
      }
      yieldPlaces(target)
      short.add(target)
      someShort.openUnsafe()
      return id
    }

    const refill = Effect.gen(function* () {
      yield* someShort.await
      // In a turn of its own: who has opened the latch, and is to be bridged now, comes first.
      yield* Effect.yieldNow
      someShort.closeUnsafe()
      const those = Array.from(short)
      short.clear()
      yield* forEachSliced(those, fill)
    })
    yield* supervisor.supervise("warm-pool-refill", Effect.forever(refill))

    const keepUp = Effect.gen(function* () {
      if (targets.size === 0) {
        someTarget.closeUnsafe()
        yield* someTarget.await
      }
      yield* Effect.sleep(UPKEEP_MS)
      // A copy: they come and go while others have their turns.
      yield* forEachSliced(Array.from(targets.values()), upkeep)
    })
    yield* supervisor.supervise("warm-pool", Effect.forever(keepUp))

    const stopListening = upstreams.onChange((change) => {
      if (change._tag !== "Check" && change._tag !== "Circuit") return
      const target = targets.get(change.upstream)
      if (target !== undefined && !mayHave(change.upstream)) drop(target)
    })
    const stop = Effect.sync(() => {
      stopped = true
      dropAll()
    })
    // Who still comes while the process ends is dialled for.
    yield* Effect.forkScoped(Effect.andThen(Deferred.await(shutdown.requested), stop))
    yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(stopListening), stop))

    return WarmPool.of({
      take,
      gone: (upstream) => {
        counts.gone++
        const target = targets.get(upstream)
        if (target !== undefined) fail(target)
      },
      count: (event) => counts[event],
      size: () => byId.size,
      setOptions: (next) => {
        options = next
        if (next === undefined) dropAll()
      }
    })
  },
  Effect.annotateLogs({ service: "warm-pool" })
)

const isBlamed = ({ reason, source }: DialError): boolean => source === "backend" && reason !== "WarmGone"

/** Nothing speaks against it. A panic (H3) has clients try all the same, but is no reason to open any ahead. */
const mayHave = (upstream: Upstream): boolean =>
  isWanted(upstream) && upstream.observed.up && upstream.observed.circuit._tag === "Closed"
