import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Ended } from "../../src/traffic/Transport.ts"
import { settled } from "../support/settled.ts"
import { type Rig, withBackends } from "../support/trafficRig.ts"

const circuit = { failureThreshold: 3, successThreshold: 2, timeoutMs: 10_000 }
const options = { routing: { circuit, ttlMs: 0 } } as const

const stateOf = (rig: Rig, id: string): string | undefined => rig.upstreams.get(id)?.observed.circuit._tag

/** A client is routed; its dial succeeds unless a reason is given. */
const connect = Effect.fnUntraced(function* (rig: Rig, fail?: "Refused" | "NoFds" | "NoPorts" | "Gone") {
  const id = rig.transport.accept()
  yield* settled
  const dial = rig.transport.dial()
  if (fail === undefined) dial.succeed()
  else dial.fail(fail)
  yield* settled
  return id
})

const backendFin = { by: "backend", phase: "relay", cause: "fin" } as const

describe("H2: circuits, by what becomes of real connections", () => {
  it.effect("open after dials that fail in a row, and the backend gets no more", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, options)
      for (let client = 0; client < 40 && stateOf(rig, "b1") === "Closed"; client++) {
        rig.transport.accept(`203.0.113.${client}`)
        yield* settled
        const dial = rig.transport.dial()
        if (dial.options.address.address === "10.0.0.1") dial.fail("Refused")
        else dial.succeed()
        yield* settled
      }
      assert.strictEqual(stateOf(rig, "b1"), "Open")
      const before = rig.transport.dials.length
      for (let client = 0; client < 20; client++) yield* connect(rig)
      const after = rig.transport.dials.slice(before)
      assert.isTrue(after.every((dial) => dial.options.address.address === "10.0.0.2"))
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_circuit_state", { backend: "b1" }), 1)
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_backend_up", { backend: "b1" }), 0)
    })
  )

  it.effect("are not told of what is the proxy's or the client's fault", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(1, options)
      for (const reason of ["NoFds", "NoPorts", "Gone"] as const) {
        for (let client = 0; client < 5; client++) yield* connect(rig, reason)
      }
      assert.deepStrictEqual(rig.upstreams.get("b1")?.observed.circuit, { _tag: "Closed", failures: 0 })
    })
  )

  it.effect.each([
    ["that the backend ended early without a byte", backendFin, 0, 500, "Open"],
    ["that the backend reset early without a byte", { ...backendFin, cause: "rst" }, 0, 500, "Open"],
    ["that the backend ended early with a byte", backendFin, 1, 500, "Closed"],
    ["that the backend ended late without a byte", backendFin, 0, 1_500, "Closed"],
    ["that the client ended", { ...backendFin, by: "client" }, 0, 500, "Closed"],
    ["that the proxy ended", { by: "proxy", phase: "relay", cause: "idle-timeout" }, 0, 500, "Closed"]
  ] as const satisfies ReadonlyArray<readonly [string, Partial<Ended>, number, number, string]>)(
    "count connections %s",
    ([, how, bytesOut, afterMs, state]) =>
      Effect.gen(function* () {
        const rig = yield* withBackends(1, options)
        for (let client = 0; client < 3; client++) {
          const id = yield* connect(rig)
          yield* TestClock.adjust(afterMs)
          rig.transport.end(id, { ...how, bytesOut })
        }
        assert.strictEqual(stateOf(rig, "b1"), state)
      })
  )

  it.effect("count a reset before any byte as a failed dial", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(1, { ...options, connection: { attempts: 1 } })
      for (let client = 0; client < 3; client++) {
        rig.transport.unbridge(yield* connect(rig))
        yield* settled
      }
      assert.strictEqual(stateOf(rig, "b1"), "Open")
    })
  )

  it.effect("try again after the time: so many at once, and close when they live, however long they go on", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(2, options)
      const upstream = rig.upstreams.get("b1")
      const other = rig.upstreams.get("b2")
      if (upstream === undefined || other === undefined) throw new Error("no backends")
      // Nobody goes there while the other is empty.
      other.live = 50
      rig.upstreams.refresh(other)
      for (let client = 0; client < 3; client++) {
        rig.transport.accept(`203.0.113.${client}`)
        yield* settled
        rig.transport.dial().fail("Refused")
        yield* settled
        rig.transport.dial().succeed()
        yield* settled
      }
      assert.strictEqual(stateOf(rig, "b1"), "Open")
      yield* TestClock.adjust(circuit.timeoutMs - 1)
      assert.strictEqual(stateOf(rig, "b1"), "Open")
      yield* TestClock.adjust(1)
      assert.strictEqual(stateOf(rig, "b1"), "HalfOpen")
      const before = rig.transport.dials.length
      for (let client = 10; client < 16; client++) yield* connect(rig)
      const addresses = rig.transport.dials.slice(before).map((dial) => dial.options.address.address)
      assert.deepStrictEqual(addresses, ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.2"])
      yield* TestClock.adjust(1_000)
      assert.strictEqual(stateOf(rig, "b1"), "Closed")
    })
  )

  it.effect("open again with one failure of the trial", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(1, { ...options, connection: { attempts: 1 } })
      for (let client = 0; client < 3; client++) yield* connect(rig, "Refused")
      yield* TestClock.adjust(circuit.timeoutMs)
      assert.strictEqual(stateOf(rig, "b1"), "HalfOpen")
      yield* connect(rig, "Refused")
      assert.strictEqual(stateOf(rig, "b1"), "Open")
    })
  )

  it.effect("of the only backend are ignored, and still find out when it serves again (H3)", () =>
    Effect.gen(function* () {
      const rig = yield* withBackends(1, { ...options, connection: { attempts: 1 } })
      for (let client = 0; client < 3; client++) yield* connect(rig, "Refused")
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_pool_panic", { app: "*" }), 1)
      const dials = rig.transport.dials.length
      for (let client = 0; client < 5; client++) yield* connect(rig)
      assert.lengthOf(rig.transport.dials, dials + 5)
      yield* TestClock.adjust(circuit.timeoutMs)
      for (let client = 0; client < 5; client++) yield* connect(rig)
      assert.lengthOf(rig.transport.dials, dials + 10)
      yield* TestClock.adjust(1_000)
      assert.strictEqual(stateOf(rig, "b1"), "Closed")
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_pool_panic", { app: "*" }), 0)
    })
  )
})
