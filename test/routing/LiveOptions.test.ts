import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Circuits } from "../../src/routing/Circuits.ts"
import { Router } from "../../src/routing/Router.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing } from "../support/routing.ts"
import { settled } from "../support/settled.ts"

const circuit = { failureThreshold: 2, successThreshold: 3, timeoutMs: 60_000 }

const two = Effect.gen(function* () {
  const upstreams = yield* Upstreams
  const router = yield* Router
  upstreams.put(backend({ id: "near", region: "sa", softLimit: 2, hardLimit: 10 }))
  upstreams.put(backend({ id: "far", region: "us" }))
  const fail = (): void => router.fail(routed(router.route(request(1))), true)
  return { upstreams, router, fail, circuitOf: () => upstreams.get("near")?.observed.circuit._tag }
})

describe("options that change while it runs", () => {
  it.effect("turn circuits off, which closes them, and on again", () =>
    Effect.gen(function* () {
      const circuits = yield* Circuits
      const { circuitOf, fail, router } = yield* two
      fail()
      fail()
      assert.deepStrictEqual([circuitOf(), chosen(router.route(request(2)))], ["Open", "far"])
      yield* circuits.setOptions(undefined)
      assert.deepStrictEqual([circuitOf(), chosen(router.route(request(3)))], ["Closed", "near"])
      fail()
      fail()
      assert.strictEqual(circuitOf(), "Closed")
      // What its old timeout brings is no news.
      yield* TestClock.adjust(120_000)
      yield* settled
      assert.strictEqual(circuitOf(), "Closed")
      yield* circuits.setOptions(circuit)
      fail()
      fail()
      assert.strictEqual(circuitOf(), "Open")
    }).pipe(Effect.provide(routing({ circuit, ttlMs: 0 })))
  )

  it.effect("shorten the time of circuits that are open already, or make it longer", () =>
    Effect.gen(function* () {
      const circuits = yield* Circuits
      const { circuitOf, fail } = yield* two
      fail()
      fail()
      yield* circuits.setOptions({ ...circuit, timeoutMs: 600_000 })
      yield* TestClock.adjust(120_000)
      yield* settled
      assert.strictEqual(circuitOf(), "Open")
      yield* circuits.setOptions({ ...circuit, timeoutMs: 10_000 })
      yield* TestClock.adjust(1_000)
      yield* settled
      assert.strictEqual(circuitOf(), "HalfOpen")
    }).pipe(Effect.provide(routing({ circuit, ttlMs: 0 })))
  )

  it.effect("close a circuit on trial that has had as many successes as are asked for now", () =>
    Effect.gen(function* () {
      const circuits = yield* Circuits
      const { circuitOf, fail, router } = yield* two
      fail()
      fail()
      yield* TestClock.adjust(60_000)
      yield* settled
      const route = routed(router.route(request(1)))
      router.commit(request(1), route)
      router.end(route, { by: "client", bytesOut: 5 })
      assert.strictEqual(circuitOf(), "HalfOpen")
      yield* circuits.setOptions({ ...circuit, successThreshold: 1 })
      assert.strictEqual(circuitOf(), "Closed")
      assert.strictEqual(chosen(router.route(request(4))), "near")
    }).pipe(Effect.provide(routing({ circuit, ttlMs: 0 })))
  )

  it.effect("have tiers spill at the soft limit, and no longer", () =>
    Effect.gen(function* () {
      const { router, upstreams } = yield* two
      for (let client = 0; client < 2; client++) assert.strictEqual(chosen(router.route(request(client))), "near")
      yield* upstreams.setOptions({ spillAt: "soft" })
      assert.strictEqual(chosen(router.route(request(10))), "far")
      yield* upstreams.setOptions({ spillAt: "hard" })
      assert.strictEqual(chosen(router.route(request(11))), "near")
    }).pipe(Effect.provide(routing({ ttlMs: 0 })))
  )

  it.effect("begin and end a panic", () =>
    Effect.gen(function* () {
      const { upstreams } = yield* two
      const near = upstreams.get("near")
      if (near !== undefined) upstreams.observe(near, { up: false })
      const panics = (): boolean | undefined => upstreams.pool(undefined)?.panic
      assert.isFalse(panics())
      yield* upstreams.setOptions({ spillAt: "hard", panicThreshold: 0.8 })
      assert.isTrue(panics())
      yield* upstreams.setOptions({ spillAt: "hard", panicThreshold: 0.2 })
      assert.isFalse(panics())
    }).pipe(Effect.provide(routing({ ttlMs: 0 })))
  )
})
