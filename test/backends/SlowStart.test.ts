import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Deferred from "effect/Deferred"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import * as SlowStart from "../../src/backends/SlowStart.ts"
import { Router } from "../../src/routing/Router.ts"
import { RoutingTable, type TableSnapshot } from "../../src/routing/RoutingTable.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing } from "../support/routing.ts"
import { settled } from "../support/settled.ts"
import { hostless } from "../support/hostless.ts"

const SLOW_START_MS = 20_000

const make = Effect.gen(function* () {
  const first = yield* Deferred.make<void>()
  const empty: TableSnapshot = {
    version: 0,
    origin: "none",
    backends: new Map(),
    quarantined: new Map(),
    badIds: new Set(),
    states: new Map()
  }
  const table = RoutingTable.of({
    ...hostless,
    snapshot: yield* SubscriptionRef.make(empty),
    firstTable: Deferred.await(first),
    status: () => ({ ...empty, backends: 0, quarantined: 0, ageMs: 0, lost: undefined, held: undefined }),
    confirm: Effect.succeed(false),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const services = yield* Layer.build(
    SlowStart.layer({ slowStartMs: SLOW_START_MS }).pipe(
      Layer.provideMerge(Layer.merge(routing({ ttlMs: 0 }), Layer.succeed(RoutingTable, table)))
    )
  )
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    const router = yield* Router
    for (const id of ["a", "b", "c"]) upstreams.put(backend({ id, region: "sa" }))
    yield* settled
    yield* Deferred.succeed(first, undefined)
    yield* settled
    const share = (id: string) => upstreams.get(id)?.observed.share
    const see = (id: string, up: boolean): void => {
      const upstream = upstreams.get(id)
      if (upstream !== undefined) upstreams.observe(upstream, { up })
    }
    /** How many of a thousand connections, all open at once, a backend gets. */
    const part = (id: string): number => {
      const routes = Array.from({ length: 1_000 }, (_, client) => routed(router.route(request(client))))
      for (const route of routes) router.end(route)
      return routes.filter((route) => chosen(route) === id).length
    }
    return { upstreams, share, see, part }
  }).pipe(Effect.provideContext(services))
})

describe("slow start", () => {
  it.effect("is for those that come later, not for those of the first table", () =>
    Effect.gen(function* () {
      const { share, upstreams } = yield* make
      assert.deepStrictEqual([share("a"), share("b")], [1, 1])
      upstreams.put(backend({ id: "d", region: "sa" }))
      assert.strictEqual(share("d"), 0.1)
    })
  )

  it.effect("gives a backend that comes back little at first, and its share in the end", () =>
    Effect.gen(function* () {
      const { part, see, share } = yield* make
      see("a", false)
      assert.strictEqual(part("a"), 0)
      see("a", true)
      assert.strictEqual(share("a"), 0.1)
      // A tenth of the weight among 2.1.
      assert.closeTo(part("a"), 1_000 * (0.1 / 2.1), 15)
      yield* TestClock.adjust(SLOW_START_MS / 2)
      assert.strictEqual(share("a"), 0.5)
      assert.closeTo(part("a"), 1_000 * (0.5 / 2.5), 15)
      yield* TestClock.adjust(SLOW_START_MS)
      assert.strictEqual(share("a"), 1)
      assert.closeTo(part("a"), 333, 15)
    })
  )

  it.effect("begins again when the backend falls and comes back, moves, or is wanted again", () =>
    Effect.gen(function* () {
      const { see, share, upstreams } = yield* make
      see("a", false)
      see("a", true)
      yield* TestClock.adjust(SLOW_START_MS / 2)
      see("a", false)
      see("a", true)
      assert.strictEqual(share("a"), 0.1)
      yield* TestClock.adjust(SLOW_START_MS * 2)
      upstreams.put(backend({ id: "b", region: "sa", address: "10.0.0.99" }))
      assert.strictEqual(share("b"), 0.1)
      upstreams.put(backend({ id: "c", region: "sa", draining: true }))
      assert.strictEqual(share("c"), 1)
      upstreams.put(backend({ id: "c", region: "sa" }))
      assert.strictEqual(share("c"), 0.1)
      yield* TestClock.adjust(SLOW_START_MS * 2)
      assert.deepStrictEqual(["a", "b", "c"].map(share), [1, 1, 1])
    })
  )

  it.effect("goes with a backend that leaves the table", () =>
    Effect.gen(function* () {
      const { share, upstreams } = yield* make
      upstreams.put(backend({ id: "d", region: "sa" }))
      upstreams.drop("d")
      yield* TestClock.adjust(SLOW_START_MS * 2)
      upstreams.put(backend({ id: "d", region: "sa" }))
      assert.strictEqual(share("d"), 0.1)
    })
  )
})
