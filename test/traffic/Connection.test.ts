import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { backend } from "../support/fixtures.ts"
import type { Dial } from "../support/ScriptedTransport.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

const addressOf = ({ options }: Dial): string => options.address.address

describe("C1: a backend that fails", () => {
  it.effect("is followed by others, each one once, up to the configured attempts", () =>
    Effect.gen(function* () {
      const { entries, load, transport } = yield* trafficRig.withBackends(5)
      transport.accept()
      for (let attempt = 0; attempt < 3; attempt++) {
        yield* settled
        assert.strictEqual(transport.dials.length, attempt + 1)
        transport.dial().fail("Refused")
      }
      yield* settled
      assert.strictEqual(transport.dials.length, 3)
      assert.strictEqual(new Set(transport.dials.map(addressOf)).size, 3)
      assert.deepStrictEqual(
        transport.aborts.map(({ how, why }) => [how, why]),
        [["rst", { by: "backend", phase: "dial", cause: "refused" }]]
      )
      assert.deepInclude(entries[0], {
        backend_addr: `${addressOf(transport.dial())}:8080`,
        attempts: 3,
        connect_ms: null,
        end_by: "backend",
        end_phase: "dial",
        end_cause: "refused"
      })
      for (const id of ["b1", "b2", "b3", "b4", "b5"]) assert.strictEqual(load(id), 0)
    })
  )

  it.effect("is followed by one that works, to which the client is bound", () =>
    Effect.gen(function* () {
      const { bound, entries, load, transport } = yield* trafficRig.withBackends(2)
      const id = transport.accept()
      yield* settled
      const [failed, works] = load("b1") === 1 ? ["b1", "b2"] : ["b2", "b1"]
      transport.dial().fail("Timeout")
      yield* settled
      assert.deepStrictEqual([load(failed), load(works)], [0, 1])
      transport.dial().succeed(2_000)
      yield* settled
      assert.deepStrictEqual(bound("203.0.113.7"), [works, 1])
      transport.end(id)
      assert.deepInclude(entries[0], { backend: works, attempts: 2, connect_ms: 2, affinity: "new", end_cause: "fin" })
    })
  )

  it.effect("ends the client when there is no other, with what happened last", () =>
    Effect.gen(function* () {
      const { entries, transport } = yield* trafficRig.withBackends(2)
      transport.accept()
      for (const reason of ["Refused", "Unreachable"] as const) {
        yield* settled
        transport.dial().fail(reason)
      }
      yield* settled
      assert.strictEqual(transport.dials.length, 2)
      assert.deepInclude(entries[0], { attempts: 2, end_by: "backend", end_phase: "dial", end_cause: "unreachable" })
    })
  )

  it.effect.each([
    ["Refused", "refused"],
    ["Timeout", "connect-timeout"],
    ["Unreachable", "unreachable"],
    ["Reset", "rst"]
  ] as const)("%s is its own failure", ([reason, cause]) =>
    Effect.gen(function* () {
      const { entries, transport } = yield* trafficRig.withBackends(1)
      transport.accept()
      yield* settled
      transport.dial().fail(reason)
      yield* settled
      assert.deepInclude(entries[0], { end_by: "backend", end_phase: "dial", end_cause: cause })
    })
  )

  it.effect.each([
    ["NoPorts", "limit"],
    ["Denied", "unreachable"]
  ] as const)("%s depends on the target: the next one is tried, and no backend is blamed", ([reason, cause]) =>
    Effect.gen(function* () {
      const { entries, transport } = yield* trafficRig.withBackends(2)
      transport.accept()
      yield* settled
      transport.dial().fail(reason)
      yield* settled
      assert.strictEqual(transport.dials.length, 2)
      transport.dial().fail(reason)
      yield* settled
      assert.deepInclude(entries[0], { end_by: "proxy", end_phase: "dial", end_cause: cause, attempts: 2 })
    })
  )

  it.effect.each([
    ["NoFds", "limit"],
    ["NoMem", "limit"]
  ] as const)("%s is the proxy's: never blamed on a backend, never tried again", ([reason, cause]) =>
    Effect.gen(function* () {
      const { entries, load, transport } = yield* trafficRig.withBackends(3)
      transport.accept()
      yield* settled
      transport.dial().fail(reason)
      yield* settled
      assert.strictEqual(transport.dials.length, 1)
      assert.deepStrictEqual(
        transport.aborts.map(({ how, why }) => [how, why]),
        [["rst", { by: "proxy", phase: "dial", cause }]]
      )
      assert.deepInclude(entries[0], { end_by: "proxy", end_phase: "dial", end_cause: cause })
      for (const id of ["b1", "b2", "b3"]) assert.strictEqual(load(id), 0)
    })
  )
})

describe("C1: a backend that resets before any byte", () => {
  it.effect("counts as a failed dial: the next candidate is tried", () =>
    Effect.gen(function* () {
      const { bound, entries, load, transport } = yield* trafficRig.withBackends(2)
      const id = transport.accept()
      yield* settled
      const [failed, works] = load("b1") === 1 ? ["b1", "b2"] : ["b2", "b1"]
      transport.dial().succeed(1_000)
      yield* settled
      transport.unbridge(id)
      yield* settled
      assert.deepStrictEqual([transport.dials.length, load(failed), load(works)], [2, 0, 1])
      transport.dial().succeed(3_000)
      yield* settled
      assert.deepStrictEqual(bound("203.0.113.7"), [works, 1])
      transport.end(id)
      assert.deepInclude(entries[0], { backend: works, attempts: 2, connect_ms: 3 })
      assert.deepStrictEqual([entries.length, load(failed), load(works)], [1, 0, 0])
    })
  )

  it.effect("ends the client once the attempts are used up", () =>
    Effect.gen(function* () {
      const { bound, entries, load, transport } = yield* trafficRig.withBackends(5)
      const id = transport.accept()
      for (let attempt = 0; attempt < 3; attempt++) {
        yield* settled
        transport.dial().succeed()
        yield* settled
        transport.unbridge(id)
      }
      yield* settled
      assert.strictEqual(transport.dials.length, 3)
      assert.deepInclude(entries[0], {
        attempts: 3,
        connect_ms: null,
        end_by: "backend",
        end_phase: "dial",
        end_cause: "rst"
      })
      for (const id of ["b1", "b2", "b3", "b4", "b5"]) assert.strictEqual(load(id), 0)
      assert.isUndefined(bound("203.0.113.7"))
    })
  )

  it.effect("even in the very turn in which the dial has succeeded", () =>
    Effect.gen(function* () {
      const { entries, load, transport } = yield* trafficRig.withBackends(2)
      const id = transport.accept()
      yield* settled
      const [failed, other] = load("b1") === 1 ? ["b1", "b2"] : ["b2", "b1"]
      transport.dial().succeed(1_000)
      transport.unbridge(id)
      yield* settled
      assert.deepStrictEqual([transport.dials.length, load(failed), load(other)], [2, 0, 1])
      transport.dial().fail("Refused")
      yield* settled
      assert.deepInclude(entries[0], { backend: other, attempts: 2, connect_ms: null, end_cause: "refused" })
      assert.deepStrictEqual([entries.length, load(failed), load(other)], [1, 0, 0])
    })
  )
})

describe("C1: a client that goes while its backend is dialled", () => {
  const gone = { by: "client", phase: "dial", cause: "rst" } as const

  it.effect("ends the dialling: no other candidate, nothing to abort", () =>
    Effect.gen(function* () {
      const { bound, entries, load, transport } = yield* trafficRig.withBackends(3)
      const id = transport.accept()
      yield* settled
      transport.dial().fail("Gone")
      yield* settled
      transport.end(id, gone)
      assert.deepStrictEqual([transport.dials.length, transport.aborts.length, entries.length], [1, 0, 1])
      assert.deepInclude(entries[0], { attempts: 1, end_by: "client", end_phase: "dial", end_cause: "rst" })
      for (const id of ["b1", "b2", "b3"]) assert.strictEqual(load(id), 0)
      assert.isUndefined(bound("203.0.113.7"))
    })
  )

  it.effect.each(["succeed", "Refused", "Gone"] as const)(
    "gives its place back exactly once when its end is told first, and the dial then ends with %s",
    (how) =>
      Effect.gen(function* () {
        const { connections, entries, load, transport } = yield* trafficRig.withBackends(1)
        const other = transport.accept("203.0.113.8")
        yield* settled
        transport.dial().succeed()
        const id = transport.accept()
        yield* settled
        assert.strictEqual(load("b1"), 2)
        transport.end(id, gone)
        assert.strictEqual(load("b1"), 1)
        if (how === "succeed") transport.dial().succeed()
        else transport.dial().fail(how)
        yield* settled
        assert.deepStrictEqual([load("b1"), transport.dials.length, connections.size()], [1, 2, 1])
        assert.deepStrictEqual([entries.length, transport.aborts.length], [1, 0])
        transport.end(other)
        assert.strictEqual(load("b1"), 0)
      })
  )
})

describe("C1: no candidate", () => {
  it.effect("no backend at all: the client is reset, and the line says so", () =>
    Effect.gen(function* () {
      const { entries, transport } = yield* trafficRig.withBackends(0)
      transport.accept()
      yield* settled
      assert.deepStrictEqual(
        transport.aborts.map(({ how, why }) => [how, why]),
        [["rst", { by: "proxy", phase: "route", cause: "no-backend" }]]
      )
      assert.deepInclude(entries[0], {
        backend: null,
        backend_addr: null,
        tier: null,
        affinity: null,
        attempts: 0,
        connect_ms: null,
        end_by: "proxy",
        end_phase: "route",
        end_cause: "no-backend"
      })
    })
  )

  it.effect("R5: all at their hard limit", () =>
    Effect.gen(function* () {
      const { entries, transport, upstreams } = yield* trafficRig.withBackends(0)
      upstreams.put(backend({ id: "small", hardLimit: 1 }))
      transport.accept("203.0.113.1")
      transport.accept("203.0.113.2")
      yield* settled
      assert.strictEqual(transport.dials.length, 1)
      assert.deepInclude(entries[0], { client: "203.0.113.2", end_phase: "route", end_cause: "no-capacity" })
    })
  )
})
