import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as MemberIndex from "../../src/dns/MemberIndex.ts"
import * as Upstreams from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"

const rigged = (count: number) => {
  const upstreams = Upstreams.make({ spillAt: "hard" })
  const put = (index: number): void =>
    upstreams.put(backend({ id: `b${index}`, app: "web", address: `10.0.${index >> 8}.${index & 255}` }))
  for (let index = 0; index < count; index++) put(index)
  const indexes = MemberIndex.make()
  const sizeOf = (family: MemberIndex.Family): number | undefined => {
    const pool = upstreams.poolNamed("web")
    return pool === undefined ? undefined : indexes.get(pool, family)?.all.members.length
  }
  return { put, indexes, sizeOf }
}

describe("an index of a pool's members", () => {
  it("of a few is made when it is asked for", () => {
    const { put, sizeOf } = rigged(10)
    assert.deepStrictEqual([sizeOf(4), sizeOf(16), sizeOf(0)], [10, 0, 10])
    put(10)
    assert.strictEqual(sizeOf(4), 11)
  })

  it.effect("of many is made beside, and the last one serves until the next is there", () =>
    Effect.gen(function* () {
      const { indexes, put, sizeOf } = rigged(MemberIndex.MANY + 1)
      yield* Effect.forkScoped(indexes.work)
      assert.isUndefined(sizeOf(4))
      yield* settled
      assert.strictEqual(sizeOf(4), MemberIndex.MANY + 1)
      put(MemberIndex.MANY + 1)
      assert.strictEqual(sizeOf(4), MemberIndex.MANY + 1)
      yield* settled
      // Not with each change.
      assert.strictEqual(sizeOf(4), MemberIndex.MANY + 1)
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.strictEqual(sizeOf(4), MemberIndex.MANY + 2)
      assert.isUndefined(sizeOf(16))
    })
  )
})
