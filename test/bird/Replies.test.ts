import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { make, NotBird } from "../../layers/bird/Replies.ts"
import { between, oneOf } from "../support/arbitraries.ts"

/** As BIRD 2.0.12 said it. */
const said =
  "0001 BIRD 2.0.12 ready.\n" +
  "2002-Name       Proto      Table      State  Since         Info\n" +
  "1002-edgeproxy_4 Static     master4    up     17:05:16.051  \n" +
  " edgeproxy_degraded_4 Static     master4    down   17:05:15.020  \n" +
  "0000 \n" +
  "+2019-10-31 some log line\n" +
  "0011-edgeproxy_4: enabled\n0000 \n" +
  "9001 syntax error, unexpected CF_SYM_UNDEFINED\n"

const piece = oneOf([
  "0000 \n",
  "0011-x: enabled\n",
  " more\n",
  "+news\n",
  "junk\n",
  "\n",
  "00",
  "9001 no\n",
  "\u0000",
  "1002-"
])

describe("BIRD's replies", () => {
  it("are cut as it means them", () => {
    const codes = make()
      .push(said)
      .map(({ code, lines }) => [code, lines.map(({ code }) => code)])
    assert.deepStrictEqual(codes, [
      [1, [1]],
      [0, [2002, 1002, 1002, 0]],
      [0, [11, 0]],
      [9001, [9001]]
    ])
  })

  it.prop(
    "are the same however they are chopped",
    [Arbitrary.array(Arbitrary.schema(between(1, 40)), { minLength: 1, maxLength: 60 })],
    ([sizes]) => {
      const replies = make()
      let at = 0
      const got = [...sizes, said.length].flatMap((size) => {
        const part = said.slice(at, at + size)
        at += size
        return replies.push(part)
      })
      assert.deepStrictEqual(got, make().push(said))
    }
  )

  it.prop(
    "or are refused: nothing else comes of anything",
    [Arbitrary.array(piece, { minLength: 1, maxLength: 30 })],
    ([parts]) => {
      const replies = make()
      try {
        for (const part of parts) for (const { lines } of replies.push(part)) assert.isNotEmpty(lines)
      } catch (error) {
        assert.instanceOf(error, NotBird)
      }
    }
  )

  it("have an end", () => {
    const endless = make()
    assert.throws(() => {
      for (let line = 0; line < 100_000; line++) endless.push("1002-x Static master4 up\n")
    }, NotBird)
    assert.throws(() => make().push("x".repeat(70_000)), NotBird)
  })
})
