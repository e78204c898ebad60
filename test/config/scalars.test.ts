import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Codec, list, optional, orAuto, secret } from "../../src/config/Codec.ts"
import { boolean, integer, literals, milliseconds, ratio, seconds } from "../../src/config/scalars.ts"

const read = <A>(codec: Codec<A>, text: string): A => Result.getOrThrow(codec.decode(text))

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** The same word in some mixture of cases, chosen by the bits of a number. */
const inCases = (word: string, bits: number): string =>
  [...word].map((letter, at) => ((bits >> at) & 1 ? letter.toUpperCase() : letter)).join("")

const booleans = ["true", "yes", "on", "1", "false", "no", "off", "0"] as const

describe("boolean", () => {
  it.prop("takes its words in any case", [Schema.Literals(booleans), between(0, 31)], ([word, bits]) => {
    return read(boolean, inCases(word, bits)) === booleans.indexOf(word) < 4
  })

  it.prop("takes nothing else", [Schema.String], ([text]) => {
    const word = text.trim().toLowerCase()
    return booleans.some((known) => known === word) || Result.isFailure(boolean.decode(text))
  })

  it.each(["", "y", "t", "2", "truee", "enabled", "null"])("%j is an error", (text) => {
    assert.deepStrictEqual(boolean.decode(text), Result.fail("true, false, 1, 0, yes, no, on or off"))
  })
})

describe("literals", () => {
  it("are taken in any case and listed in the error", () => {
    const codec = literals(["off", "v1", "v2"])
    assert.strictEqual(read(codec, " V2 "), "v2")
    assert.deepStrictEqual(codec.decode("v3"), Result.fail("off, v1 or v2"))
  })
})

describe("integer", () => {
  it.prop("round trip in range, error out of it", [Schema.Int], ([value]) => {
    const codec = integer({ minimum: 1, maximum: 1_000 })
    return value >= 1 && value <= 1_000
      ? read(codec, codec.encode(value)) === value
      : Result.isFailure(codec.decode(String(value)))
  })

  it.each(["", " ", "1.0", "1e2", "0x10", "+5", "-1", "1_000", "1,000", "NaN", "Infinity", "12a", "٣"])(
    "%j is an error",
    (text) => {
      assert.deepStrictEqual(integer({ minimum: 0, maximum: 99 }).decode(text), Result.fail("an integer from 0 to 99"))
    }
  )

  it("takes 0 below the minimum where it means something", () => {
    const codec = integer({ minimum: 5, maximum: 9, zero: "off" })
    assert.strictEqual(read(codec, "0"), 0)
    assert.deepStrictEqual(codec.decode("4"), Result.fail("0 (off) or an integer from 5 to 9"))
  })
})

describe("durations", () => {
  it.prop("seconds take decimals, exact to the millisecond", [between(1, 2_147_483_000)], ([ms]) => {
    const text = `${Math.floor(ms / 1_000)}.${String(ms % 1_000).padStart(3, "0")}`
    const codec = seconds()
    return read(codec, text) === ms && read(codec, codec.encode(ms)) === ms
  })

  it.prop("milliseconds take decimals and round", [between(1, 1_000_000), between(0, 9)], ([ms, tenth]) => {
    return read(milliseconds(), `${ms}.${tenth}`) === ms + (tenth >= 5 ? 1 : 0)
  })

  it.each([
    ["5", 5_000],
    ["0.1", 100],
    [".25", 250],
    ["2.", 2_000],
    [" 1.5 ", 1_500],
    ["4.35", 4_350],
    ["2147483", 2_147_483_000]
  ])("%j seconds are %d ms", (text, ms) => {
    assert.strictEqual(read(seconds(), text), ms)
  })

  it.each(["", ".", "5s", "-1", "1e3", "0x1", "1:00", "Infinity", "NaN", "2147484", "0", "0.0004"])(
    "%j seconds are an error",
    (text) => {
      assert.deepStrictEqual(seconds().decode(text), Result.fail("seconds from 0.001 to 2147483, decimals allowed"))
    }
  )

  it("says what 0 means where it is allowed", () => {
    assert.strictEqual(read(seconds({ zero: "off" }), "0.0"), 0)
    assert.deepStrictEqual(
      seconds({ minimum: 1, zero: "off" }).decode("0.5"),
      Result.fail("0 (off) or seconds from 1 to 2147483, decimals allowed")
    )
  })
})

describe("ratio", () => {
  it.prop("round trip", [between(0, 1_000_000)], ([millionths]) => {
    return read(ratio, ratio.encode(millionths / 1_000_000)) === millionths / 1_000_000
  })

  it.each(["", "1.1", "-0.1", "50%", "1e-3", "2"])("%j is an error", (text) => {
    assert.deepStrictEqual(ratio.decode(text), Result.fail("a number from 0 to 1"))
  })
})

describe("combinators", () => {
  it("orAuto takes auto in any case", () => {
    const codec = orAuto(integer({ minimum: 1, maximum: 8 }))
    assert.strictEqual(read(codec, "Auto"), "auto")
    assert.strictEqual(read(codec, "8"), 8)
    assert.strictEqual(codec.encode(read(codec, "auto")), "auto")
    assert.deepStrictEqual(codec.decode("9"), Result.fail("auto or an integer from 1 to 8"))
  })

  it("optional turns no text into no value", () => {
    assert.isUndefined(read(optional(boolean), ""))
    assert.strictEqual(optional(boolean).encode(undefined), "")
    assert.isTrue(Result.isFailure(optional(boolean).decode("maybe")))
  })

  it("secret shows nothing, not even in an error about one entry", () => {
    const codec = secret(list(boolean, { allowed: "booleans" }))
    const value = read(codec, "yes,no")
    assert.deepStrictEqual(Redacted.value(value), [true, false])
    assert.strictEqual(codec.encode(value), "***")
    assert.notInclude(String(value), "true")
    assert.deepStrictEqual(codec.decode("yes,hunter2"), Result.fail("booleans"))
  })

  it("list names the entry at fault", () => {
    const codec = list(literals(["a", "b"]), { allowed: "letters", key: (letter) => letter })
    assert.deepStrictEqual(read(codec, " a , b"), ["a", "b"])
    assert.deepStrictEqual(read(codec, ""), [])
    assert.deepStrictEqual(codec.decode("a,c"), Result.fail('letters; "c" is none'))
    assert.deepStrictEqual(codec.decode("a,"), Result.fail('letters; "" is none'))
    assert.deepStrictEqual(codec.decode("a,b,A"), Result.fail('letters; "a" only once'))
  })
})
