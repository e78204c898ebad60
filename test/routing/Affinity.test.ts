import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Bindings } from "../../src/routing/Bindings.ts"
import { Router } from "../../src/routing/Router.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing } from "../support/routing.ts"

const services = Effect.all({ router: Router, upstreams: Upstreams, bindings: Bindings })

/** A near backend that takes everyone, and a far one for when it does not. */
const near = backend({ id: "near", region: "sa" })
const far = backend({ id: "far", region: "ap" })

describe("A1, A2: a binding is kept", () => {
  it.effect("when its backend fails a dial and the next one does too; success elsewhere binds anew", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(near)
      const asked = request(1)
      const open = routed(router.route(asked))
      router.commit(asked, open)
      upstreams.put(far)

      const first = routed(router.route(asked))
      assert.deepInclude(first, { affinity: "hit" })
      router.fail(first)
      const again = { ...asked, tried: [first.lease.upstream] }
      const second = routed(router.route(again))
      assert.deepStrictEqual([chosen(second), second.affinity], ["far", "rebound"])
      router.fail(second)
      assert.strictEqual(bindings.size(), 1)
      const kept = routed(router.route(asked))
      assert.deepStrictEqual([chosen(kept), kept.affinity], ["near", "hit"])

      const third = routed(router.route(again))
      router.commit(again, third)
      assert.strictEqual(chosen(router.route(asked)), "far")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("when a better backend appears", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      upstreams.put(near)
      const route = routed(router.route(request(1)))
      assert.deepInclude(route, { affinity: "hit", tier: 3 })
      assert.strictEqual(chosen(route), "far")
      assert.strictEqual(chosen(router.route(request(2))), "near")
    }).pipe(Effect.provide(routing()))
  )

  it.effect("for all connections that a new client opens at once", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      for (let index = 0; index < 10; index++) upstreams.put(backend({ id: `b${index}` }))
      const routes = Array.from({ length: 20 }, () => chosen(router.route(request(1))))
      assert.strictEqual(new Set(routes).size, 1)
    }).pipe(Effect.provide(routing()))
  )

  it.effect("per app: one client may be bound twice", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(backend({ id: "web", app: "web" }))
      upstreams.put(backend({ id: "pg", app: "pg" }))
      for (const app of ["web", "pg", "web", "pg"]) {
        assert.strictEqual(chosen(router.route(request(1, undefined, { app }))), app)
      }
      assert.strictEqual(bindings.size(), 2)
    }).pipe(Effect.provide(routing()))
  )
})

describe("A2: a client is routed afresh and rebound", () => {
  it.effect("when its backend turns unhealthy, and stays with the new one", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(near)
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      upstreams.put({ ...near, healthy: false })
      const rebound = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(rebound), rebound.affinity], ["far", "rebound"])
      router.end(rebound)
      upstreams.put(near)
      const later = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(later), later.affinity], ["far", "hit"])
    }).pipe(Effect.provide(routing()))
  )

  it.effect("when its backend is gone", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(near)
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      upstreams.drop("near")
      assert.deepInclude(routed(router.route(request(1))), { affinity: "rebound", tier: 3 })
    }).pipe(Effect.provide(routing()))
  )

  it.effect("when its backend has failed the connection", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(near)
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      const failed = routed(router.route(request(1)))
      assert.strictEqual(failed.affinity, "hit")
      router.fail(failed)
      const next = routed(router.route(request(1, undefined, { tried: [failed.lease.upstream] })))
      assert.deepStrictEqual([chosen(next), next.affinity], ["far", "rebound"])
    }).pipe(Effect.provide(routing()))
  )

  it.effect("a dial that failed leaves a new client unbound", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(near)
      router.fail(routed(router.route(request(1))))
      assert.strictEqual(bindings.size(), 0)
      assert.strictEqual(routed(router.route(request(1))).affinity, "new")
    }).pipe(Effect.provide(routing()))
  )
})

describe("A1: the TTL", () => {
  it.effect("slides with each new connection; an expired binding is never used, collected or not", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      upstreams.put(near)
      yield* TestClock.adjust(900)
      const hit = routed(router.route(request(1)))
      assert.strictEqual(hit.affinity, "hit")
      router.end(hit)
      yield* TestClock.adjust(999)
      const again = routed(router.route(request(1)))
      assert.strictEqual(again.affinity, "hit")
      router.end(again)
      yield* TestClock.adjust(1_000)
      assert.strictEqual(bindings.size(), 1, "not collected yet")
      const expired = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(expired), expired.affinity], ["near", "new"])
    }).pipe(Effect.provide(routing({ ttlMs: 1_000 })))
  )

  it.effect("does not run while a connection is open", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(far)
      const open = routed(router.route(request(1)))
      upstreams.put(near)
      yield* TestClock.adjust(100_000)
      assert.strictEqual(routed(router.route(request(1))).affinity, "hit")
      router.end(open)
      assert.strictEqual(routed(router.route(request(1))).affinity, "hit")
    }).pipe(Effect.provide(routing({ ttlMs: 1_000, gcIntervalMs: 500 })))
  )

  it.effect("0 turns affinity off", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(far)
      const first = routed(router.route(request(1)))
      upstreams.put(near)
      const second = routed(router.route(request(1)))
      assert.deepStrictEqual([second.affinity, chosen(second), second.binding], ["new", "near", undefined])
      router.end(first)
      router.end(second)
      assert.strictEqual(bindings.size(), 0)
    }).pipe(Effect.provide(routing({ ttlMs: 0 })))
  )
})

describe("A4: at most so many connections through one binding", () => {
  const options = { bindingMaxConnections: 3 }

  it.effect("further ones are routed afresh, the binding stays", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(far)
      const open = [1, 2, 3].map(() => routed(router.route(request(1))))
      upstreams.put(near)
      const fourth = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(fourth), fourth.affinity, fourth.binding], ["near", "new", undefined])
      router.end(fourth)
      for (const route of open.slice(0, 1)) router.end(route)
      const next = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(next), next.affinity], ["far", "hit"])
      assert.strictEqual(chosen(router.route(request(1))), "near")
    }).pipe(Effect.provide(routing(options)))
  )

  it.effect("holds in a burst, before any dial has ended", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(far)
      router.end(routed(router.route(request(1))))
      upstreams.put(near)
      const burst = Array.from({ length: 20 }, () => chosen(router.route(request(1))))
      assert.strictEqual(burst.filter((id) => id === "far").length, 3)
    }).pipe(Effect.provide(routing(options)))
  )

  it.effect("another client is not concerned", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(far)
      for (let index = 0; index < 5; index++) router.route(request(1))
      router.end(routed(router.route(request(2))))
      assert.strictEqual(routed(router.route(request(2))).affinity, "hit")
    }).pipe(Effect.provide(routing(options)))
  )

  it.effect("A2: a full binding to a backend that is out is replaced like any other", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* services
      upstreams.put(near)
      upstreams.put(far)
      for (let index = 0; index < 3; index++) assert.strictEqual(chosen(router.route(request(1))), "near")
      upstreams.put({ ...near, healthy: false })
      const rebound = routed(router.route(request(1)))
      assert.deepStrictEqual([chosen(rebound), rebound.affinity], ["far", "rebound"])
      upstreams.put(backend({ id: "best", region: "eu", country: "DE" }))
      const next = routed(router.route(request(1, "DE")))
      assert.deepStrictEqual([chosen(next), next.affinity], ["far", "hit"])
    }).pipe(Effect.provide(routing(options)))
  )
})

describe("A3: the table is bounded", () => {
  it.effect("the client least recently seen is forgotten first", () =>
    Effect.gen(function* () {
      const { bindings, router, upstreams } = yield* services
      upstreams.put(near)
      for (const client of [1, 2, 3, 1, 4]) router.end(routed(router.route(request(client))))
      assert.strictEqual(bindings.size(), 3)
      assert.strictEqual(bindings.evictions(), 1)
      assert.strictEqual(routed(router.route(request(1))).affinity, "hit")
      assert.strictEqual(routed(router.route(request(2))).affinity, "new")
    }).pipe(Effect.provide(routing({ bindingMax: 3 })))
  )
})
