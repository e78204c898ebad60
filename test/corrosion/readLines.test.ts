import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Answer } from "../../layers/corrosion/Agent.ts"
import type { AgentError } from "../../layers/corrosion/AgentError.ts"
import { readLines, readText } from "../../layers/corrosion/readLines.ts"

/** An answer that has all of its body at once, and then ends like this. */
const answer = (text: string, end: Effect.Effect<boolean, AgentError> = Effect.succeed(false)): Answer => {
  const bytes = Buffer.from(text)
  let at = 0
  return {
    status: 200,
    header: () => undefined,
    read: () => {
      if (at >= bytes.length) return null
      const chunk = bytes.subarray(at, at + 65_536)
      at += chunk.length
      return chunk
    },
    more: end
  }
}

/** How often others had their turn. */
const turnsDuring = Effect.fnUntraced(function* <A, E>(effect: Effect.Effect<A, E>) {
  let turns = 0
  let over = false
  const turn = (): void => {
    turns++
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  yield* effect
  over = true
  return turns
})

describe("the lines of a body", () => {
  it.live("leave others their turn, however many there are at once (T2)", () =>
    Effect.gen(function* () {
      const count = 100_000
      const body = Array.from(
        { length: count },
        (_, index) => `{"row":[${index},["node-${index}","shop","eu"]]}\n`
      ).join("")
      let sum = 0
      const startedAt = performance.now()
      const turns = yield* turnsDuring(
        readLines(answer(body), (line) => {
          sum += (JSON.parse(String(line)) as { readonly row: readonly [number] }).row[0]
          return true
        })
      )
      assert.strictEqual(sum, (count * (count - 1)) / 2)
      // Every few milliseconds; a machine with other work to do gives fewer.
      assert.isAbove(turns, (performance.now() - startedAt) / 30)
    })
  )

  it.live("end where enough was seen", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      yield* readLines(answer("a\nb\nc\n"), (line) => seen.push(line) < 2)
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )

  it.live("are not whole when the body ends in the middle of one", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const error = yield* Effect.flip(readLines(answer("a\nb"), (line) => seen.push(line) > 0))
      assert.deepStrictEqual(seen, ["a"])
      assert.strictEqual(error.kind, "unreachable")
    })
  )

  it.live("a short body that is long is none", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* readText(answer("x".repeat(100)), 100), "x".repeat(100))
      assert.strictEqual((yield* Effect.flip(readText(answer("x".repeat(101)), 100))).kind, "protocol")
    })
  )
})
