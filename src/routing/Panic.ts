import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import type { Pool } from "./Pool.ts"
import { isOut } from "./Upstream.ts"
import { EVEN_AT_ONCE, Upstreams } from "./Upstreams.ts"

/** Brings the loads of large pools in line with their panic (H3), a slice at a time. */
const make = Effect.gen(function* () {
  const upstreams = yield* Upstreams
  const supervisor = yield* Supervisor
  const uneven = new Set<Pool>()
  const some = yield* Latch.make(false)

  const stop = upstreams.onChange((change) => {
    if (change._tag !== "Panic" || change.pool.members.size <= EVEN_AT_ONCE) return
    uneven.add(change.pool)
    some.openUnsafe()
  })
  yield* Effect.addFinalizer(() => Effect.sync(stop))

  const loop = Effect.gen(function* () {
    yield* some.await
    some.closeUnsafe()
    for (const pool of uneven) {
      uneven.delete(pool)
      yield* forEachSliced(Array.from(pool.members), (member) => {
        if (isOut(member)) upstreams.refresh(member)
      })
    }
  })
  yield* supervisor.supervise("panic", Effect.forever(loop))
})

export const layer: Layer.Layer<never, never, Supervisor | Upstreams> = Layer.effectDiscard(make)
