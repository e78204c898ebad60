import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { HealthChecks, type HealthChecksOptions } from "../../src/backends/HealthChecks.ts"
import type { Backend } from "../../src/domain/Backend.ts"
import { Router } from "../../src/routing/Router.ts"
import { RoutingTable, type TableSnapshot } from "../../src/routing/RoutingTable.ts"
import { type Change, Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { chosen, request, routed, routing, type RoutingOptions } from "../support/routing.ts"
import * as ScriptedProbe from "../support/ScriptedProbe.ts"
import { settled } from "../support/settled.ts"
import { hostless } from "../support/hostless.ts"

const INTERVAL_MS = 4_000
const FAST_MS = INTERVAL_MS / 4
/** How far from its time a check may be. */
const JITTER = 1.05

const addressOf = (index: number): string => `10.0.${index >> 8}.${index & 255}`
const nth = (index: number): Backend => backend({ id: `b${index}`, address: addressOf(index), region: "sa" })

/** Checks on a scripted probe, of a table that the test changes. */
const make = Effect.fnUntraced(function* (
  backends: number,
  options: Partial<HealthChecksOptions> = {},
  routes: RoutingOptions = {},
  atOnce = 1_000
) {
  const clock = yield* Clock.clockWith(Effect.succeed)
  const probe = ScriptedProbe.make(() => clock.currentTimeMillisUnsafe())
  const empty: TableSnapshot = {
    version: 0,
    origin: "none",
    backends: new Map(),
    quarantined: new Map(),
    badIds: new Set(),
    states: new Map()
  }
  const snapshot = yield* SubscriptionRef.make(empty)
  const table = RoutingTable.of({
    ...hostless,
    snapshot,
    firstTable: Effect.void,
    status: () => ({ ...empty, backends: 0, quarantined: 0, ageMs: 0, lost: undefined, held: undefined }),
    confirm: Effect.succeed(false),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const services = yield* Layer.build(
    HealthChecks.layer(
      {
        probe: { kind: "tcp" },
        intervalMs: INTERVAL_MS,
        timeoutMs: 500,
        rise: 2,
        fall: 3,
        ...options
      },
      atOnce
    ).pipe(Layer.provideMerge(Layer.mergeAll(probe.layer, routing(routes), Layer.succeed(RoutingTable, table))))
  )
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    const changes: Array<Change> = []
    upstreams.onChange((change) => void changes.push(change))
    /** A table comes into force, as the table's actor does it. */
    const publish = Effect.fnUntraced(function* (list: ReadonlyArray<Backend>) {
      const before = yield* SubscriptionRef.get(snapshot)
      const next = new Map(list.map((each) => [each.id, each]))
      for (const each of list) upstreams.put(each)
      for (const id of before.backends.keys()) if (!next.has(id)) upstreams.drop(id)
      yield* SubscriptionRef.set(snapshot, { ...before, backends: next, version: before.version + 1 })
      yield* settled
    })
    yield* publish(Array.from({ length: backends }, (_, index) => nth(index)))
    return {
      probe,
      upstreams,
      publish,
      router: yield* Router,
      health: yield* HealthChecks,
      supervisor: yield* Supervisor,
      up: (id: string) => upstreams.get(id)?.observed.up,
      /** Ups and downs so far. */
      turns: () => changes.flatMap((each) => (each._tag === "Check" ? [`${each.upstream.backend.id} ${each.up}`] : []))
    }
  }).pipe(Effect.provideContext(services))
})

/** Lets time pass in small steps, so that whoever wakes up does so at its own time. */
const pass = Effect.fnUntraced(function* (ms: number) {
  for (let left = ms; left > 0; left -= 50) yield* TestClock.adjust(Math.min(50, left))
})

const gaps = (times: ReadonlyArray<number>): ReadonlyArray<number> =>
  times.slice(1).map((at, index) => at - (times[index] ?? 0))

describe("H1: active checks", () => {
  it.effect("begin at a time of their own, and go on at the interval", () =>
    Effect.gen(function* () {
      const { health, probe } = yield* make(200)
      assert.strictEqual(health.size(), 200)
      yield* pass(INTERVAL_MS)
      const first = Array.from({ length: 200 }, (_, index) => probe.times(addressOf(index))[0] ?? -1)
      assert.isTrue(first.every((at) => at >= 0 && at <= INTERVAL_MS))
      // 200 points in four quarters: a quarter with none at all would mean that they march in step.
      const quarters = new Set(first.map((at) => Math.floor(at / FAST_MS)))
      assert.isAtLeast(quarters.size, 4)
      yield* pass(INTERVAL_MS * 3)
      for (const gap of gaps(probe.times(addressOf(7)))) {
        assert.isAtLeast(gap, INTERVAL_MS / JITTER - 50)
        assert.isAtMost(gap, INTERVAL_MS * JITTER + 50)
      }
    })
  )

  it.effect("let a new backend serve at once, take it out after `fall` failures and back after `rise` passes", () =>
    Effect.gen(function* () {
      const { probe, router, turns, up, upstreams } = yield* make(2)
      probe.answers(addressOf(0), "refused")
      assert.isTrue(up("b0"))
      yield* pass(INTERVAL_MS)
      const failed = probe.times(addressOf(0)).length
      assert.isTrue(failed >= 1)
      yield* pass(3 * FAST_MS * JITTER + 100)
      assert.isFalse(up("b0"))
      assert.deepStrictEqual(turns(), ["b0 false"])
      assert.strictEqual(upstreams.get("b0")?.observed.checkError, "refused: script")
      // Out of the candidates, whoever asks.
      for (let client = 0; client < 50; client++) assert.strictEqual(chosen(router.route(request(client))), "b1")
      // Fast while it falls, slow again once it has fallen.
      const while3 = gaps(probe.times(addressOf(0)).slice(0, 3))
      for (const gap of while3) assert.isAtMost(gap, FAST_MS * JITTER + 50)

      probe.answers(addressOf(0), "pass")
      yield* pass(INTERVAL_MS * JITTER + FAST_MS * JITTER + 100)
      assert.isTrue(up("b0"))
      assert.deepStrictEqual(turns(), ["b0 false", "b0 true"])
      assert.isUndefined(upstreams.get("b0")?.observed.checkError)
    })
  )

  it.effect("are turned off, forgotten, and on again while it runs", () =>
    Effect.gen(function* () {
      const options: HealthChecksOptions = {
        probe: { kind: "tcp" },
        intervalMs: INTERVAL_MS,
        timeoutMs: 500,
        rise: 2,
        fall: 3
      }
      const { health, probe, turns, up } = yield* make(3)
      probe.answers(addressOf(0), "refused")
      yield* pass(INTERVAL_MS * 3)
      assert.isFalse(up("b0"))

      yield* health.setOptions(undefined)
      yield* settled
      assert.deepStrictEqual([health.size(), up("b0")], [0, true])
      const asked = probe.times(addressOf(0)).length
      yield* pass(INTERVAL_MS * 3)
      assert.lengthOf(probe.times(addressOf(0)), asked)

      yield* health.setOptions(options)
      yield* settled
      assert.strictEqual(health.size(), 3)
      yield* pass(INTERVAL_MS * 3)
      assert.isFalse(up("b0"))

      // Off and on within one turn: what was found stays, and one pass is not enough to bring it back.
      yield* health.setOptions(undefined)
      yield* health.setOptions(options)
      yield* settled
      yield* pass(INTERVAL_MS * 2)
      assert.isFalse(up("b0"))
      assert.deepStrictEqual(turns(), ["b0 false", "b0 true", "b0 false"])
    })
  )

  it.effect("have another interval from one moment to the next", () =>
    Effect.gen(function* () {
      const { health, probe } = yield* make(4, { intervalMs: 1_000_000 })
      yield* settled
      const before = probe.times(addressOf(3)).length
      const other = { probe: { kind: "tcp" }, intervalMs: 400, timeoutMs: 500, rise: 2, fall: 3 } as const
      yield* health.setOptions(other)
      yield* settled
      yield* pass(4_000)
      assert.isAtLeast(probe.times(addressOf(3)).length - before, 8)
    })
  )

  it.effect("rebind the bound clients of a backend that goes down", () =>
    Effect.gen(function* () {
      const { publish, router, upstreams } = yield* make(0)
      yield* publish([nth(0)])
      const first = routed(router.route(request(1)))
      router.commit(request(1), first)
      router.end(first)
      yield* publish([nth(0), nth(1)])
      assert.strictEqual(routed(router.route(request(1))).affinity, "hit")
      const upstream = upstreams.get("b0")
      if (upstream !== undefined) upstreams.observe(upstream, { up: false })
      const again = routed(router.route(request(1)))
      assert.deepStrictEqual([again.lease.upstream.backend.id, again.affinity], ["b1", "rebound"])
    })
  )

  it.effect("start and stop with the table, within one update, and check a backend that has moved afresh", () =>
    Effect.gen(function* () {
      const { health, probe, publish, up } = yield* make(2)
      probe.answers(addressOf(0), "refused")
      yield* pass(INTERVAL_MS * 3)
      assert.isFalse(up("b0"))
      yield* publish([nth(0), nth(2)])
      assert.strictEqual(health.size(), 2)
      const asked = probe.times(addressOf(1)).length
      yield* pass(INTERVAL_MS * 2)
      assert.lengthOf(probe.times(addressOf(1)), asked)
      assert.isNotEmpty(probe.times(addressOf(2)))

      yield* publish([{ ...nth(0), address: addressOf(9) }])
      assert.isTrue(up("b0"))
      const before = probe.times(addressOf(0)).length
      yield* pass(INTERVAL_MS * 2)
      assert.lengthOf(probe.times(addressOf(0)), before)
      assert.isAtLeast(probe.times(addressOf(9)).length, 1)
      assert.isTrue(up("b0"))
    })
  )

  it.effect("of backends that hang delay nobody else", () =>
    Effect.gen(function* () {
      const { probe, turns } = yield* make(60, { timeoutMs: 2_000 }, {}, 16)
      for (let index = 0; index < 40; index++) probe.answers(addressOf(index), "hang")
      // Until each of them is known to be slow.
      yield* pass(INTERVAL_MS * 20)
      assert.isAtMost(probe.most(), 16)
      assert.lengthOf(new Set(turns()), 40)
      const from = (yield* Clock.currentTimeMillis) - INTERVAL_MS * 5
      for (let index = 40; index < 60; index++) {
        const times = probe.times(addressOf(index)).filter((at) => at >= from)
        for (const gap of gaps(times)) assert.isAtMost(gap, INTERVAL_MS * JITTER + 100)
        assert.isAtLeast(times.length, 4)
      }
    })
  )

  it.effect("hold nothing against a backend that this host could not ask, and go on after a bug", () =>
    Effect.gen(function* () {
      const { health, probe, turns, up } = yield* make(2)
      probe.answers(addressOf(0), "local")
      probe.answers(addressOf(1), "die")
      yield* pass(INTERVAL_MS * 6)
      assert.deepStrictEqual([up("b0"), up("b1"), turns()], [true, true, []])
      const { failed, passed, skipped } = health.counts()
      assert.deepStrictEqual([passed, failed], [0, 0])
      assert.isAtLeast(skipped, 10)
    })
  )

  it.effect("come sooner after a failed dial, however many fail", () =>
    Effect.gen(function* () {
      const { probe, router, up } = yield* make(1)
      yield* pass(INTERVAL_MS + 500)
      probe.answers(addressOf(0), "refused")
      const [last = 0] = probe.times(addressOf(0)).slice(-1)
      const began = yield* Clock.currentTimeMillis
      for (let each = 0; each < 100; each++) {
        router.fail(routed(router.route(request(each))), true)
        yield* TestClock.adjust(FAST_MS / 20)
      }
      const times = probe.times(addressOf(0)).filter((at) => at > last)
      assert.isAtMost(times[0] ?? Infinity, Math.max(began, last + FAST_MS) + FAST_MS / 20)
      for (const gap of gaps(times)) assert.isAtLeast(gap, FAST_MS * 0.95 - 1)
      assert.isFalse(up("b0"))
    })
  )

  it.effect("take nobody out of a pool in which nobody would be left (H3)", () =>
    Effect.gen(function* () {
      const { probe, router, turns, upstreams } = yield* make(3)
      for (let index = 0; index < 3; index++) probe.answers(addressOf(index), "refused")
      yield* pass(INTERVAL_MS * 3)
      assert.lengthOf(turns(), 3)
      assert.isTrue(upstreams.pool(undefined)?.panic)
      const served = new Set(Array.from({ length: 200 }, (_, client) => chosen(router.route(request(client)))))
      assert.deepStrictEqual([...served].sort(), ["b0", "b1", "b2"])
      probe.answers(addressOf(1), "pass")
      yield* pass(INTERVAL_MS * 2)
      assert.isFalse(upstreams.pool(undefined)?.panic)
      for (let client = 0; client < 50; client++) assert.strictEqual(chosen(router.route(request(500 + client))), "b1")
    })
  )
})
