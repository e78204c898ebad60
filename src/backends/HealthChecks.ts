import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import type { Backend } from "../domain/Backend.ts"
import * as Health from "../domain/Health.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import { HealthProbe, type Probe, type ProbeError, type ProbeTarget } from "./HealthProbe.ts"

export interface HealthChecksOptions extends Health.HealthOptions {
  readonly probe: Probe
  /** From the start of a check to that of the next, give or take a twentieth. */
  readonly intervalMs: number
  readonly timeoutMs: number
}

/** How checks have ended: `skipped` says nothing of the backend, since this host could not ask. */
export interface CheckCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/**
 * Active checks of every backend in the table (H1), each by a fiber of its own. What they find is in force in the turn in
 * which the last of so many results in a row comes in. While results speak against what is believed, or a dial has just
 * failed, the next check comes after a quarter of the time.
 *
 * The checks under way at once are bounded, in two halves: backends that let a check run into its deadline wait for each
 * other, and for nobody else.
 */
export class HealthChecks extends Context.Service<
  HealthChecks,
  {
    readonly counts: () => CheckCounts
    /** Backends that are checked. */
    readonly size: () => number
    /** Undefined turns the checks off, and what they had found is forgotten. In force soon after. */
    readonly setOptions: (options: HealthChecksOptions | undefined) => Effect.Effect<void>
  }
>()("edgeproxy/backends/HealthChecks") {
  /** `options` undefined: off; `atOnce`: most checks under way at once. */
  static readonly layer = (
    options: HealthChecksOptions | undefined,
    atOnce: number
  ): Layer.Layer<HealthChecks, never, HealthProbe | RoutingTable | Supervisor | Upstreams> =>
    Layer.effect(HealthChecks, make(options, atOnce))
}

/** What is known of a backend that is checked. */
interface Checked extends ProbeTarget {
  readonly id: string
  health: Health.Health
  /** Its last check ran into the deadline. */
  slow: boolean
  probing: boolean
  startedAt: number
  nextAt: number
}

const HURRY = 4

const isAt = ({ address, host, port }: Checked, backend: Backend): boolean =>
  address === backend.address && port === backend.port && host === backend.host

export const make = Effect.fnUntraced(
  function* (initial: HealthChecksOptions | undefined, atOnce: number) {
    const { probe: ask } = yield* HealthProbe
    const table = yield* RoutingTable
    const upstreams = yield* Upstreams
    const supervisor = yield* Supervisor
    const now = yield* monotonicMs
    const actors = yield* FiberMap.make<string>()
    const run = yield* FiberMap.runtime(actors)()
    const checked = new Map<string, Checked>()
    const lane = Math.max(1, Math.floor(atOnce / 2))
    const [quick, slow] = [yield* Semaphore.make(lane), yield* Semaphore.make(lane)]
    const counts = { passed: 0, failed: 0, skipped: 0 }
    /** Undefined: off. */
    let wanted = initial
    /** What checks go by until they are stopped. */
    let options = initial
    /** Those that wait for their time have to be given another one. */
    let repace = false
    const asked = yield* Queue.sliding<void>(1)

    const judge = (target: Checked, error: ProbeError | undefined, options: HealthChecksOptions): void => {
      target.slow = error?.reason === "timeout"
      if (error?.reason === "local") return void counts.skipped++
      counts[error === undefined ? "passed" : "failed"]++
      target.health = Health.step(target.health, error === undefined, options)
      const upstream = upstreams.get(target.id)
      // It has moved, and this was the last word of the old place.
      if (upstream === undefined || !isAt(target, upstream.backend)) return
      const { up } = target.health
      const { observed } = upstream
      if (observed.up === up && observed.checkError === error?.message) return
      upstreams.observe(upstream, { up, checkError: error?.message })
    }

    const checkOnce = Effect.fnUntraced(function* (target: Checked, options: HealthChecksOptions) {
      const permits = target.slow ? slow : quick
      yield* permits.withPermit(
        Effect.suspend(() => {
          target.startedAt = now()
          return Effect.result(ask(target, options.probe, options.timeoutMs))
        }).pipe(
          Effect.map((result) => judge(target, Result.isFailure(result) ? result.failure : undefined, options)),
          Effect.catchCause((cause) => {
            if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
            counts.skipped++
            return Effect.logError("a health check failed by a fault of the proxy", { id: target.id }, cause)
          })
        )
      )
    })

    /** Checks until it is told to stop. Whatever a check comes to, the next one follows. */
    const actor = Effect.fnUntraced(function* (target: Checked) {
      while (options !== undefined) {
        const waitMs = target.nextAt - now()
        if (waitMs > 0) yield* Effect.sleep(waitMs)
        target.startedAt = now()
        target.probing = true
        yield* checkOnce(target, options)
        target.probing = false
        const pace = Health.isChanging(target.health) ? options.intervalMs / HURRY : options.intervalMs
        target.nextAt = target.startedAt + pace * (0.95 + 0.1 * (yield* Random.next))
      }
    })

    const start = (backend: Backend, jitter: number, intervalMs: number): void => {
      const { address, host, id, port } = backend
      const nextAt = now() + jitter * intervalMs
      // What was found before holds until it is found otherwise.
      const health = { ...Health.initial, up: upstreams.get(id)?.observed.up ?? true }
      const target: Checked = {
        id,
        address,
        host,
        port,
        health,
        slow: false,
        probing: false,
        startedAt: nextAt,
        nextAt
      }
      checked.set(id, target)
      run(id, actor(target))
    }

    const reconcile = Effect.gen(function* () {
      const inForce = wanted
      const missing: Array<Backend> = []
      const gone: Array<string> = []
      // Of a row that names a host each address is checked. A copy: they may come and go while this waits.
      yield* forEachSliced(inForce === undefined ? [] : Array.from(upstreams.all()), ({ backend, listed }) => {
        const known = checked.get(backend.id)
        if (listed && (known === undefined || !isAt(known, backend))) missing.push(backend)
      })
      yield* forEachSliced(checked.keys(), (id) => {
        if (inForce === undefined || upstreams.get(id) === undefined) gone.push(id)
      })
      for (const id of gone) {
        checked.delete(id)
        yield* FiberMap.remove(actors, id)
        const upstream = upstreams.get(id)
        // It is there and checked no more: nobody would ever bring it up again.
        if (upstream !== undefined && inForce === undefined)
          upstreams.observe(upstream, { up: true, checkError: undefined })
      }
      if (inForce === undefined) return
      for (const backend of missing) start(backend, yield* Random.next, inForce.intervalMs)
      if (repace) yield* spread(inForce.intervalMs)
    })

    /** Checks that wait, spread evenly over the interval. */
    const spread = Effect.fnUntraced(function* (intervalMs: number) {
      repace = false
      const apartMs = intervalMs / checked.size
      let nextAt = now()
      yield* forEachSliced(Array.from(checked.values()), (target) => {
        nextAt += apartMs
        if (target.probing) return
        target.nextAt = nextAt
        run(target.id, actor(target))
      })
    })

    yield* supervisor.supervise(
      "health-checks",
      Stream.merge(SubscriptionRef.changes(table.snapshot), Stream.fromQueue(asked)).pipe(
        // A pass brings everything up to date: of those that wait the last is enough.
        Stream.buffer({ capacity: 1, strategy: "sliding" }),
        Stream.runForEach(() => reconcile)
      )
    )

    const hurry = (id: string): void => {
      const target = checked.get(id)
      if (target === undefined || target.probing || options === undefined) return
      const soon = Math.max(now(), target.startedAt + options.intervalMs / HURRY)
      if (target.nextAt <= soon) return
      target.nextAt = soon
      run(id, actor(target))
    }
    const stop = upstreams.onChange((change) => {
      if (change._tag === "Suspect") hurry(change.upstream.backend.id)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))

    return HealthChecks.of({
      counts: () => ({ ...counts }),
      size: () => checked.size,
      setOptions: (next) =>
        Effect.suspend(() => {
          repace ||= next?.intervalMs !== options?.intervalMs
          wanted = next
          options = next ?? options
          return Effect.asVoid(Queue.offer(asked, undefined))
        })
    })
  },
  Effect.annotateLogs({ service: "health" })
)
