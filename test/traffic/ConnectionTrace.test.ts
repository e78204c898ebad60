import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { samplerOf } from "../../src/domain/TraceContext.ts"
import type { Span } from "../../src/observe/Span.ts"
import { settled } from "../support/settled.ts"
import { traced } from "../support/tracer.ts"
import * as trafficRig from "../support/trafficRig.ts"

const shape = (spans: ReadonlyArray<Span>) =>
  spans.map(({ attributes, failed, name }) => [name, failed ? attributes["error.type"] : true] as const)

describe("O1: the spans of a connection", () => {
  it.effect("have the times of its parts", () =>
    Effect.gen(function* () {
      const { spans, transport } = yield* traced(trafficRig.withBackends(1))
      const id = transport.accept()
      yield* settled
      yield* TestClock.adjust(20)
      transport.dial().succeed(20_000)
      yield* settled
      yield* TestClock.adjust(100)
      transport.end(id, { bytesIn: 3, bytesOut: 4, firstByteUs: 1_500 })
      assert.deepStrictEqual(shape(spans), [
        ["connection", true],
        ["route", true],
        ["dial", true],
        ["relay", true]
      ])
      const [connection, , dial, relay] = spans
      const start = connection?.startMs ?? NaN
      const times = (span: Span | undefined) => [
        Math.round((span?.startMs ?? NaN) - start),
        Math.round((span?.endMs ?? NaN) - start)
      ]
      assert.deepStrictEqual(
        [times(connection), times(dial), times(relay)],
        [
          [0, 120],
          [0, 20],
          [20, 120]
        ]
      )
      assert.deepInclude(relay?.attributes, { "edgeproxy.bytes_in": 3, "edgeproxy.first_byte_ms": 1.5 })
      assert.isUndefined(connection?.attributes["client.address"])
    })
  )

  it.effect("tell of every dial, and of the one that ended with its connection", () =>
    Effect.gen(function* () {
      const { spans, transport } = yield* traced(trafficRig.withBackends(3))
      const id = transport.accept()
      yield* settled
      transport.dial().fail("Timeout")
      yield* settled
      transport.dial().succeed(1_000)
      yield* settled
      // Reset before a byte: a failed dial too (C1).
      transport.unbridge(id)
      yield* settled
      transport.end(id, { by: "client", phase: "dial", cause: "rst" })
      assert.deepStrictEqual(shape(spans), [
        ["connection", true],
        ["route", true],
        ["dial", "timeout"],
        ["dial", "rst"],
        ["dial", "rst"]
      ])
    })
  )

  it.effect("a connection that nobody takes has no dial", () =>
    Effect.gen(function* () {
      const { entries, spans, transport } = yield* traced(trafficRig.make())
      transport.accept()
      yield* settled
      assert.deepStrictEqual(shape(spans), [
        ["connection", "no-backend"],
        ["route", "no-backend"]
      ])
      assert.strictEqual(entries[0]?.trace_id, spans[0]?.traceId)
    })
  )

  it.effect("whoever is refused has one while there are few of them", () =>
    Effect.gen(function* () {
      const rig = trafficRig.withBackends(1, { clients: { maxConnections: 1 } })
      const { entries, spans, transport } = yield* traced(rig)
      for (let count = 0; count < 100; count++) transport.accept()
      yield* settled
      const refused = spans.filter(({ attributes }) => attributes["error.type"] === "client-limit")
      assert.strictEqual(refused.length, 10)
      assert.strictEqual(entries.length, 10)
      assert.strictEqual(spans.length, 10)
    })
  )

  it.effect("that ends in the step in which it began to relay are told when the dial is known to have succeeded", () =>
    Effect.gen(function* () {
      const { spans, transport } = yield* traced(trafficRig.withBackends(1))
      const id = transport.accept()
      yield* settled
      transport.dial().succeed(500)
      transport.end(id)
      yield* settled
      assert.deepStrictEqual(shape(spans), [
        ["connection", true],
        ["route", true],
        ["dial", true],
        ["relay", true]
      ])
    })
  )

  it.effect("have the client's address when that is allowed", () =>
    Effect.gen(function* () {
      const { spans, transport } = yield* traced(trafficRig.make(), { showsClients: true })
      transport.accept("198.51.100.1")
      yield* settled
      assert.strictEqual(spans[0]?.attributes["client.address"], "198.51.100.1")
      assert.isNumber(spans[0]?.attributes["client.port"])
    })
  )

  it.effect("are none when it is not sampled, and its log line says nothing of a trace", () =>
    Effect.gen(function* () {
      const off = { sampler: samplerOf("always_off", 1) }
      const { connections, entries, spans, transport } = yield* traced(trafficRig.withBackends(1), off)
      const id = transport.accept()
      yield* settled
      assert.isUndefined(connections.get(id)?.trace)
      transport.dial().succeed()
      yield* settled
      transport.end(id)
      assert.strictEqual(spans.length, 0)
      assert.notProperty(entries[0], "trace_id")
    })
  )
})
