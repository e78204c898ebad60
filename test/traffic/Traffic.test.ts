import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { backend } from "../support/fixtures.ts"
import type { Dial } from "../support/ScriptedTransport.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

const addressOf = ({ options }: Dial): string => options.address.address

describe("a connection that works", () => {
  it.effect("is dialled, carried, and gives everything back at its end", () =>
    Effect.gen(function* () {
      const { admission, connections, load, traffic, transport } = yield* trafficRig.withBackends(1)
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
          peer: null,
          country: "BR",
          region: "sa",
          app: "web",
          listener: "[::]:40001",
          sni: null,
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
      const { bound, entries, transport } = yield* trafficRig.withBackends(5)
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
      const { transport } = yield* trafficRig.withBackends(1, { connection: { limits } })
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

describe("T3: before the first table", () => {
  it.effect("clients wait for it", () =>
    Effect.gen(function* () {
      const { publish, transport } = yield* trafficRig.withBackends(1, { table: false })
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
      const { entries, publish, transport, upstreams } = yield* trafficRig.withBackends(0, { table: false })
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
      const { load, publish, transport } = yield* trafficRig.withBackends(1, { table: false })
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
      const { admission, entries, transport } = yield* trafficRig.withBackends(1, { maxConnections: 2 })
      const [first] = [transport.accept("203.0.113.1"), transport.accept("203.0.113.2")]
      assert.strictEqual(transport.listeners[0]?.pausedFor, "limit")
      transport.accept("203.0.113.3")
      yield* settled
      assert.deepStrictEqual(
        transport.aborts.map(({ how, why }) => [how, why]),
        [["rst", { by: "proxy", phase: "pre-route", cause: "limit" }]]
      )
      assert.deepStrictEqual([admission.active(), transport.dials.length], [2, 2])
      assert.deepStrictEqual(
        entries.map(({ client, end_cause }) => [client, end_cause]),
        [["203.0.113.3", "limit"]]
      )
      transport.end(first)
      assert.isUndefined(transport.listeners[0]?.pausedFor)
      transport.accept("203.0.113.4")
      yield* settled
      assert.strictEqual(transport.dials.length, 3)
    })
  )

  it.effect("a peer without an IP address is refused and takes no place", () =>
    Effect.gen(function* () {
      const { admission, transport } = yield* trafficRig.withBackends(1)
      transport.accept("not an address")
      yield* settled
      assert.deepStrictEqual([admission.active(), transport.dials.length, transport.aborts.length], [0, 0, 1])
    })
  )
})

describe("a fault of the proxy itself", () => {
  it.effect("costs one connection, which gives everything back", () =>
    Effect.gen(function* () {
      const { connections, entries, load, transport } = yield* trafficRig.withBackends(1)
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
