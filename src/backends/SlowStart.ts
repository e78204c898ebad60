import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { FIRST_SHARE, shareAfter } from "../domain/SlowStart.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import type { Upstream } from "../routing/Upstream.ts"
import { Upstreams } from "../routing/Upstreams.ts"

const STEP_MS = 1_000

export interface SlowStartOptions {
  /** 0 is off. Read whenever it is used. */
  readonly slowStartMs: number
}

/**
 * Lets a backend that comes up grow to its full share over the time that is given, in steps of a second: new ones, and
 * those that come back by checks, by their circuit or by their row. Those of the first table begin at full share, since
 * all of them begin together.
 */
const make = Effect.fnUntraced(function* (options: SlowStartOptions) {
  const table = yield* RoutingTable
  const upstreams = yield* Upstreams
  const supervisor = yield* Supervisor
  const now = yield* monotonicMs
  const starting = new Map<Upstream, number>()
  const some = yield* Latch.make(false)

  const step = (upstream: Upstream): void => {
    const share = shareAfter(now() - (starting.get(upstream) ?? -Infinity), options.slowStartMs)
    if (share === 1 || !upstream.listed) starting.delete(upstream)
    if (share !== upstream.observed.share) upstreams.observe(upstream, { share })
  }

  const loop = Effect.gen(function* () {
    if (starting.size === 0) {
      some.closeUnsafe()
      yield* some.await
    }
    yield* Effect.sleep(STEP_MS)
    yield* forEachSliced(Array.from(starting.keys()), step)
  })

  const begin = Effect.gen(function* () {
    yield* table.firstTable
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        upstreams.onChange((change) => {
          if (change._tag !== "Came" || options.slowStartMs <= 0) return
          starting.set(change.upstream, now())
          upstreams.observe(change.upstream, { share: FIRST_SHARE })
          some.openUnsafe()
        })
      ),
      (stop) => Effect.sync(stop)
    )
    return yield* Effect.forever(loop)
  })

  yield* supervisor.supervise("slow-start", Effect.scoped(begin))
})

export const layer = (options: SlowStartOptions): Layer.Layer<never, never, RoutingTable | Supervisor | Upstreams> =>
  Layer.effectDiscard(make(options))
