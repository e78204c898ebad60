import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Panic from "../../src/routing/Panic.ts"
import { Router } from "../../src/routing/Router.ts"
import { EVEN_AT_ONCE, Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing, type RoutingOptions } from "../support/routing.ts"
import { settled } from "../support/settled.ts"

const make = Effect.fnUntraced(function* (size: number, options: RoutingOptions = {}) {
  const services = yield* Layer.build(Panic.layer.pipe(Layer.provideMerge(routing({ ttlMs: 0, ...options }))))
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    const router = yield* Router
    for (let index = 0; index < size; index++) upstreams.put(backend({ id: `b${index}`, region: "sa", app: "web" }))
    const see = (from: number, to: number, up: boolean): void => {
      for (let index = from; index < to; index++) {
        const upstream = upstreams.get(`b${index}`)
        if (upstream !== undefined) upstreams.observe(upstream, { up })
      }
    }
    /** The numbers of the backends that so many clients get, each at the same load. */
    const given = (clients: number): ReadonlyArray<number> =>
      Array.from({ length: clients }, (_, client) => {
        const route = routed(router.route(request(client, undefined, { app: "web" })))
        router.end(route)
        return Number(chosen(route).slice(1))
      })
    return { upstreams, router, see, given, panic: () => upstreams.pool("web")?.panic }
  }).pipe(Effect.provideContext(services))
})

describe("H3: panic", () => {
  for (const size of [20, EVEN_AT_ONCE + 200]) {
    it.effect(`of ${size} backends begins below the threshold, spreads over all, and ends above it`, () =>
      Effect.gen(function* () {
        const { given, panic, see } = yield* make(size, { panicThreshold: 0.5 })
        see(0, size / 2, false)
        assert.isFalse(panic())
        assert.isTrue(given(300).every((index) => index >= size / 2))
        see(size / 2, size / 2 + 1, false)
        assert.isTrue(panic())
        yield* settled
        const out = given(1_000).filter((index) => index <= size / 2).length
        assert.closeTo(out, 500, 75)
        see(0, 1, true)
        assert.isFalse(panic())
        yield* settled
        assert.isTrue(given(300).every((index) => index === 0 || index > size / 2))
      })
    )
  }

  it.effect("of a large pool serves in the very turn in which the last one goes down", () =>
    Effect.gen(function* () {
      const size = EVEN_AT_ONCE + 1
      const { given, panic, see } = yield* make(size)
      see(0, size, false)
      assert.isTrue(panic())
      assert.lengthOf(given(10), 10)
    })
  )

  it.effect("never leads to a backend that drains or is unhealthy by its row", () =>
    Effect.gen(function* () {
      const { given, router, see, upstreams } = yield* make(3)
      upstreams.put(backend({ id: "b0", region: "sa", app: "web", draining: true }))
      upstreams.put(backend({ id: "b1", region: "sa", app: "web", healthy: false }))
      see(0, 3, false)
      assert.isTrue(given(50).every((index) => index === 2))
      upstreams.put(backend({ id: "b2", region: "sa", app: "web", expired: true }))
      assert.strictEqual(router.route(request(1, undefined, { app: "web" })), "no-backend")
    })
  )

  it.effect("is each app's own: clients of all apps go to those that are up", () =>
    Effect.gen(function* () {
      const { panic, router, see, upstreams } = yield* make(3)
      upstreams.put(backend({ id: "x", region: "sa", app: "other" }))
      see(0, 3, false)
      assert.deepStrictEqual([panic(), upstreams.pool(undefined)?.panic], [true, false])
      assert.notStrictEqual(chosen(router.route(request(1, undefined, { app: "web" }))), "x")
      for (let client = 0; client < 20; client++) assert.strictEqual(chosen(router.route(request(client))), "x")
    })
  )
})
