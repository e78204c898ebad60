import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import {
  isInShare,
  makeSpanId,
  makeTraceId,
  parseTraceparent,
  randomnessOf,
  samplerOf
} from "../../src/domain/TraceContext.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"

describe("traceparent", () => {
  it("is read as W3C has it", () => {
    assert.deepStrictEqual(parseTraceparent(`00-${traceId}-${spanId}-01`), { traceId, spanId, sampled: true })
    assert.deepStrictEqual(parseTraceparent(` 00-${traceId}-${spanId}-02 `), { traceId, spanId, sampled: false })
    // A version to come may say more.
    assert.deepStrictEqual(parseTraceparent(`cc-${traceId}-${spanId}-01-what-the-future-brings`), {
      traceId,
      spanId,
      sampled: true
    })
  })

  it.each([
    "",
    "garbage",
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-01-more`,
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}0-${spanId}-01`
  ])("is none: %s", (text) => assert.isUndefined(parseTraceparent(text)))

  it.prop("any text is read or is none", [Schema.String], ([text]) => {
    parseTraceparent(text)
  })
})

const unit = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999_999 }))

describe("ids", () => {
  it.prop("have their length, and a trace id the randomness it was made of", [unit, unit], ([randomness, random]) => {
    const id = makeTraceId(randomness, () => random)
    assert.match(id, /^[0-9a-f]{32}$/)
    assert.closeTo(randomnessOf(id), randomness, 1e-12)
    assert.match(
      makeSpanId(() => random),
      /^[0-9a-f]{15}1$/
    )
  })

  it.prop("whoever is in a share is in every larger one", [unit, unit, unit], ([randomness, one, other]) => {
    if (isInShare(randomness, Math.min(one, other))) assert.isTrue(isInShare(randomness, Math.max(one, other)))
  })

  it("all are in the whole, none in nothing", () => {
    for (const randomness of [0, 0.5, 0.999_999_999]) {
      assert.isTrue(isInShare(randomness, 1))
      assert.isFalse(isInShare(randomness, 0))
    }
  })
})

describe("samplers", () => {
  it.each([
    ["always_on", 1, false],
    ["always_off", 0, false],
    ["traceidratio", 0.25, false],
    ["parentbased_always_on", 1, true],
    ["parentbased_always_off", 0, true],
    ["parentbased_traceidratio", 0.25, true]
  ] as const)("%s", (name, share, followsParent) =>
    assert.deepStrictEqual(samplerOf(name, 0.25), { share, followsParent })
  )
})
