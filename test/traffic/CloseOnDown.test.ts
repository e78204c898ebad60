import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { backend } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import { type Rig, withBackends } from "../support/trafficRig.ts"

const SPREAD_MS = 5_000

/** As many connections, each on the backend that it got. */
const connected = Effect.fnUntraced(function* (rig: Rig, count: number) {
  for (let client = 0; client < count; client++) {
    rig.transport.accept(`203.0.${client >> 8}.${client & 255}`)
    yield* settled
    rig.transport.dial().succeed()
    yield* settled
  }
  return (id: string): ReadonlyArray<number> =>
    Array.from(rig.connections.all(), (record) => record).flatMap((record) =>
      record.route?.lease.upstream.backend.id === id ? [record.id] : []
    )
})

const see = (rig: Rig, id: string, up: boolean): void => {
  const upstream = rig.upstreams.get(id)
  if (upstream !== undefined) rig.upstreams.observe(upstream, { up })
}

describe("EDGEPROXY_ON_BACKEND_DOWN=close", () => {
  it.effect("closes the connections of a backend that goes down by checks, spread, and no others", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, { closeOnDown: true })
      const on = yield* connected(rig, 60)
      const [gone, kept] = [on("b1"), on("b2")]
      assert.isAtLeast(gone.length, 10)
      for (const id of gone) rig.transport.set(id, { idleMs: id * 100 })
      see(rig, "b1", false)
      yield* TestClock.adjust(SPREAD_MS + 1_000)
      const { aborts } = rig.transport
      assert.sameMembers(
        aborts.map(({ id }) => id),
        [...gone]
      )
      assert.isTrue(aborts.every(({ why }) => why.by === "proxy" && why.cause === "backend-down"))
      // Longest idle first; who was silent for a second ends in order, whoever was not is reset.
      assert.deepStrictEqual(
        aborts.map(({ id }) => id),
        [...gone].sort((a, b) => b - a)
      )
      for (const { how, id } of aborts) assert.strictEqual(how, id * 100 >= 1_000 ? "fin" : "rst")
      const times = aborts.map(({ at }) => at)
      for (const [index, at] of times.slice(1).entries()) assert.isAtLeast(at - (times[index] ?? 0), 10)
      assert.lengthOf(on("b2"), kept.length)
      assert.strictEqual(rig.entries[0]?.end_cause, "backend-down")
    })
  )

  it.effect("leaves many connections not longer than the time to spread them over", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, { closeOnDown: true, maxConnections: 10_000 })
      const on = yield* connected(rig, 1_500)
      const count = on("b1").length
      see(rig, "b1", false)
      yield* TestClock.adjust(SPREAD_MS + 1_000)
      assert.lengthOf(rig.transport.aborts, count)
      const times = rig.transport.aborts.map(({ at }) => at)
      assert.isAtLeast((times.at(-1) ?? 0) - (times[0] ?? 0), Math.min(SPREAD_MS, count * 10) * 0.8)
    })
  )

  it.effect("closes those of a backend that has left the table or is unhealthy in it, not of one that drains", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(3, { closeOnDown: true })
      const on = yield* connected(rig, 60)
      const [first, second] = [on("b1"), on("b2")]
      rig.upstreams.drop("b1")
      rig.upstreams.put(backend({ id: "b2", address: "10.0.0.2", region: "sa", healthy: false }))
      rig.upstreams.put(backend({ id: "b3", address: "10.0.0.3", region: "sa", draining: true }))
      yield* TestClock.adjust(SPREAD_MS + 1_000)
      assert.sameMembers(
        rig.transport.aborts.map(({ id }) => id),
        [...first, ...second]
      )
    })
  )

  it.effect("spares those of a backend that comes back meanwhile, and all of them in a panic", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, { closeOnDown: true })
      const on = yield* connected(rig, 60)
      const count = on("b1").length
      see(rig, "b1", false)
      yield* TestClock.adjust(500 + 55)
      see(rig, "b1", true)
      yield* TestClock.adjust(SPREAD_MS)
      const closed = rig.transport.aborts.length
      assert.isTrue(closed > 0 && closed < count)
      see(rig, "b1", false)
      see(rig, "b2", false)
      yield* TestClock.adjust(SPREAD_MS)
      assert.lengthOf(rig.transport.aborts, closed)
      // The panic is over, and the results count again.
      see(rig, "b2", true)
      yield* TestClock.adjust(SPREAD_MS)
      assert.lengthOf(rig.transport.aborts, count)
    })
  )

  it.effect("closes one that was being dialled once it runs", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, { closeOnDown: true })
      const id = rig.transport.accept()
      yield* settled
      const chosen = [...rig.connections.all()][0]?.route?.lease.upstream.backend.id ?? ""
      see(rig, chosen, false)
      yield* TestClock.adjust(2_000)
      assert.isEmpty(rig.transport.aborts)
      rig.transport.dial().succeed()
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(
        rig.transport.aborts.map((each) => each.id),
        [id]
      )
    })
  )
})

describe("EDGEPROXY_ON_BACKEND_DOWN=keep", () => {
  it.effect("closes none", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2)
      yield* connected(rig, 20)
      see(rig, "b1", false)
      rig.upstreams.drop("b2")
      yield* TestClock.adjust(60_000)
      assert.isEmpty(rig.transport.aborts)
    })
  )
})
