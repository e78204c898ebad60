import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { backend } from "../support/fixtures.ts"
import type { Dial } from "../support/ScriptedTransport.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

const addressOf = ({ options }: Dial): string => options.address.address

/** A rig with backends b1, b2 ... at 10.0.0.1, 10.0.0.2 ... in the POP's region. */
const rigOf = Effect.fnUntraced(function* (backends: number, options?: trafficRig.TrafficRigOptions) {
  const rig = yield* trafficRig.make(options)
  for (let index = 1; index <= backends; index++) {
    rig.upstreams.put(backend({ id: `b${index}`, address: `10.0.0.${index}`, region: "sa" }))
  }
  return rig
})

describe("a connection that works", () => {
  it.effect("is dialled, carried, and gives everything back at its end", () =>
    Effect.gen(function* () {
      const { admission, connections, load, traffic, transport } = yield* rigOf(1)
      assert.deepStrictEqual(traffic.addresses, [{ address: "0.0.0.0", port: 8_080 }])
      const id = transport.accept()
      yield* settled
      assert.deepStrictEqual(transport.dial(), {
        ...transport.dial(),
        id,
        options: {
          address: { address: "10.0.0.1", port: 8_080 },
          connectMs: 3_000,
          keepaliveMs: 30_000,
          limits: trafficRig.limits
        }
      })
      assert.deepStrictEqual([load("b1"), connections.size(), admission.active()], [1, 1, 1])
      transport.dial().succeed()
      yield* settled
      assert.strictEqual(load("b1"), 1)
      transport.end(id)
      assert.deepStrictEqual([load("b1"), connections.size(), admission.active()], [0, 0, 0])
      assert.deepStrictEqual(transport.aborts, [])
    })
  )

  it.effect("C6: leaves one line in the access log", () =>
    Effect.gen(function* () {
      const { entries, transport, upstreams } = yield* trafficRig.make({
        listeners: [{ address: { address: "::", port: 0 }, app: "web" }]
      })
      const address = "fd00::7"
      upstreams.put(backend({ id: "near", app: "web", address, port: 443, region: "sa", country: "BR" }))
      yield* TestClock.adjust(1_000)
      const id = transport.accept(`::ffff:${trafficRig.brazilian}`)
      yield* settled
      transport.dial().succeed(1_234)
      yield* TestClock.adjust(2_500)
      transport.end(id, { by: "backend", bytesIn: 12, bytesOut: 34_567 })
      assert.deepStrictEqual(entries, [
        {
          ts: "1970-01-01T00:00:03.500Z",
          conn: "0-1",
          pop: "gru1",
          client: trafficRig.brazilian,
          client_port: 50_000,
          country: "BR",
          region: "sa",
          app: "web",
          listener: "[::]:40001",
          backend: "near",
          backend_addr: "[fd00::7]:443",
          tier: 0,
          affinity: "new",
          attempts: 1,
          connect_ms: 1.234,
          duration_ms: 2_500,
          bytes_in: 12,
          bytes_out: 34_567,
          end_by: "backend",
          end_phase: "relay",
          end_cause: "fin"
        }
      ])
    })
  )

  it.effect("A1: binds its client, whose next connections go to the same backend", () =>
    Effect.gen(function* () {
      const { bound, entries, transport } = yield* rigOf(5)
      for (let visit = 0; visit < 3; visit++) {
        const id = transport.accept()
        yield* settled
        transport.dial().succeed()
        yield* settled
        transport.end(id)
      }
      assert.strictEqual(new Set(transport.dials.map(addressOf)).size, 1)
      assert.deepStrictEqual(
        entries.map(({ affinity }) => affinity),
        ["new", "hit", "hit"]
      )
      assert.strictEqual(bound("203.0.113.7")?.[1], 0)
    })
  )

  it.effect("R8: goes to a backend of its listener's app", () =>
    Effect.gen(function* () {
      const { transport, upstreams } = yield* trafficRig.make({
        listeners: ["web", "pg"].map((app, index) => ({ address: { address: "0.0.0.0", port: 80 + index }, app }))
      })
      upstreams.put(backend({ id: "w", app: "web", address: "10.0.0.1" }))
      upstreams.put(backend({ id: "p", app: "pg", address: "10.0.0.2" }))
      for (const listener of [1, 0]) {
        transport.accept("203.0.113.7", listener)
        yield* settled
      }
      assert.deepStrictEqual(transport.dials.map(addressOf), ["10.0.0.2", "10.0.0.1"])
    })
  )

  it.effect("C3: gets its maximum age with 10 % jitter, and its other limits as they are", () =>
    Effect.gen(function* () {
      const limits = { ...trafficRig.limits, maxAgeMs: 1_000 }
      const { transport } = yield* rigOf(1, { connection: { limits } })
      for (let index = 0; index < 100; index++) transport.accept(`203.0.113.${index}`)
      yield* settled
      const ages = transport.dials.map(({ options }) => options.limits.maxAgeMs)
      assert.strictEqual(ages.length, 100)
      assert.isAtLeast(Math.min(...ages), 900)
      assert.isAtMost(Math.max(...ages), 1_100)
      assert.isAbove(new Set(ages.map(Math.round)).size, 30)
      for (const { options } of transport.dials)
        assert.deepInclude(options.limits, { ...limits, maxAgeMs: options.limits.maxAgeMs })
    })
  )
})

describe("C1: a backend that fails", () => {
  it.effect("is followed by others, each one once, up to the configured attempts", () =>
    Effect.gen(function* () {
      const { entries, load, transport } = yield* rigOf(5)
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
      const { bound, entries, load, transport } = yield* rigOf(2)
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
      const { entries, transport } = yield* rigOf(2)
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
      const { entries, transport } = yield* rigOf(1)
      transport.accept()
      yield* settled
      transport.dial().fail(reason)
      yield* settled
      assert.deepInclude(entries[0], { end_by: "backend", end_phase: "dial", end_cause: cause })
    })
  )

  it.effect.each([
    ["NoPorts", "limit"],
    ["NoFds", "limit"],
    ["NoMem", "limit"],
    ["Denied", "internal"]
  ] as const)("%s is the proxy's: never blamed on a backend, never tried again", ([reason, cause]) =>
    Effect.gen(function* () {
      const { entries, load, transport } = yield* rigOf(3)
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
      const { bound, entries, load, transport } = yield* rigOf(2)
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
      const { bound, entries, load, transport } = yield* rigOf(5)
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
      const { entries, load, transport } = yield* rigOf(2)
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
      const { bound, entries, load, transport } = yield* rigOf(3)
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
        const { connections, entries, load, transport } = yield* rigOf(1)
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
      const { entries, transport } = yield* rigOf(0)
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
      const { entries, transport, upstreams } = yield* rigOf(0)
      upstreams.put(backend({ id: "small", hardLimit: 1 }))
      transport.accept("203.0.113.1")
      transport.accept("203.0.113.2")
      yield* settled
      assert.strictEqual(transport.dials.length, 1)
      assert.deepInclude(entries[0], { client: "203.0.113.2", end_phase: "route", end_cause: "no-capacity" })
    })
  )
})

describe("T3: before the first table", () => {
  it.effect("clients wait for it", () =>
    Effect.gen(function* () {
      const { publish, transport } = yield* rigOf(1, { table: false })
      for (let index = 0; index < 3; index++) transport.accept()
      yield* TestClock.adjust(4_000)
      assert.deepStrictEqual([transport.dials.length, transport.aborts.length], [0, 0])
      yield* publish
      assert.strictEqual(transport.dials.length, 3)
      transport.accept()
      yield* settled
      assert.strictEqual(transport.dials.length, 4)
    })
  )

  it.effect("for 5 s at most; then they are told that there is no backend", () =>
    Effect.gen(function* () {
      const { entries, publish, transport, upstreams } = yield* rigOf(0, { table: false })
      transport.accept()
      yield* TestClock.adjust(4_999)
      assert.strictEqual(transport.aborts.length, 0)
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepInclude(entries[0], { end_cause: "no-backend", duration_ms: 5_000 })
      transport.accept()
      yield* settled
      assert.strictEqual(entries.length, 2)
      upstreams.put(backend({ id: "late" }))
      yield* publish
      transport.accept()
      yield* settled
      assert.strictEqual(transport.dials.length, 1)
    })
  )

  it.effect("nothing is dialled for a client that has gone meanwhile", () =>
    Effect.gen(function* () {
      const { load, publish, transport } = yield* rigOf(1, { table: false })
      const id = transport.accept()
      transport.end(id, { by: "client", phase: "pre-route", cause: "rst" })
      yield* publish
      assert.deepStrictEqual([transport.dials.length, load("b1")], [0, 0])
    })
  )
})

describe("C5: at the limit of connections", () => {
  it.effect("listeners are paused, late ones reset, and resumed when there is room", () =>
    Effect.gen(function* () {
      const { admission, entries, transport } = yield* rigOf(1, { maxConnections: 2 })
      const [first] = [transport.accept("203.0.113.1"), transport.accept("203.0.113.2")]
      assert.strictEqual(transport.listeners[0]?.pausedFor, "limit")
      transport.accept("203.0.113.3")
      yield* settled
      assert.deepStrictEqual(
        transport.aborts.map(({ how, why }) => [how, why]),
        [["rst", { by: "proxy", phase: "pre-route", cause: "limit" }]]
      )
      assert.deepStrictEqual([admission.active(), transport.dials.length, entries.length], [2, 2, 0])
      transport.end(first)
      assert.isUndefined(transport.listeners[0]?.pausedFor)
      transport.accept("203.0.113.4")
      yield* settled
      assert.strictEqual(transport.dials.length, 3)
    })
  )

  it.effect("a peer without an IP address is refused and takes no place", () =>
    Effect.gen(function* () {
      const { admission, transport } = yield* rigOf(1)
      transport.accept("not an address")
      yield* settled
      assert.deepStrictEqual([admission.active(), transport.dials.length, transport.aborts.length], [0, 0, 1])
    })
  )
})

describe("a fault of the proxy itself", () => {
  it.effect("costs one connection, which gives everything back", () =>
    Effect.gen(function* () {
      const { connections, entries, load, transport } = yield* rigOf(1)
      transport.accept()
      yield* settled
      transport.dial().die(new Error("a defect"))
      yield* settled
      assert.deepInclude(entries[0], { end_by: "proxy", end_cause: "internal" })
      assert.deepStrictEqual([connections.size(), load("b1")], [0, 0])
      transport.accept()
      yield* settled
      assert.strictEqual(transport.dials.length, 2)
    })
  )
})
