import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { samplerOf } from "../../src/domain/TraceContext.ts"
import type { Span } from "../../src/observe/Span.ts"
import * as Tracing from "../../src/observe/Tracing.ts"

const parent = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }

const make = (name: Parameters<typeof samplerOf>[0], ratio = 1) =>
  Tracing.make({ sampler: samplerOf(name, ratio), showsClients: false, take: () => undefined })

describe("what is sampled", () => {
  it.effect("is about the share that was asked for", () =>
    Effect.gen(function* () {
      const tracer = yield* make("traceidratio", 0.1)
      const sampled = Array.from({ length: 20_000 }, () => tracer.begin()).filter((begun) => begun !== undefined)
      assert.closeTo(sampled.length, 2_000, 300)
      assert.strictEqual(new Set(sampled.map(({ traceId }) => traceId)).size, sampled.length)
      // Everybody who sees the trace decides alike.
      for (const { traceId, spanId } of sampled) {
        assert.isDefined(tracer.begin({ traceId, spanId, sampled: false }))
      }
    })
  )

  it.effect.each([
    ["parentbased_always_off", true, true],
    ["parentbased_always_on", false, false],
    ["always_on", false, true],
    ["always_off", true, false]
  ] as const)("%s with a caller's decision of %s: %s", ([name, sampled, expected]) =>
    Effect.gen(function* () {
      const tracer = yield* make(name)
      const begun = tracer.begin({ ...parent, sampled })
      assert.strictEqual(begun !== undefined, expected)
      if (begun !== undefined) {
        assert.deepStrictEqual([begun.traceId, begun.parentSpanId], [parent.traceId, parent.spanId])
        assert.notStrictEqual(begun.spanId, parent.spanId)
      }
    })
  )

  it.effect("nobody traces unless told to", () =>
    Effect.gen(function* () {
      const tracer = yield* Tracing.Tracing
      assert.isFalse(tracer.on)
      assert.isUndefined(tracer.begin())
      assert.isUndefined(tracer.begin({ ...parent, sampled: true }))
    })
  )

  it.effect("what has happened is a trace of its own, with its length", () =>
    Effect.gen(function* () {
      const spans: Array<Span> = []
      const tracer = yield* Tracing.make({
        sampler: samplerOf("always_on", 1),
        showsClients: false,
        take: (span) => void spans.push(span)
      })
      Tracing.traceEvent(tracer, "table.update", -30, 0, { rows: 3 })
      const [span] = spans
      assert.deepInclude(span, { name: "table.update", parentSpanId: undefined, failed: false })
      assert.closeTo((span?.endMs ?? 0) - (span?.startMs ?? 0), 30, 0.001)
    })
  )
})
