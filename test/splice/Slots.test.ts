import { assert, describe, it } from "@effect/vitest"
import * as Slots from "../../layers/transport-splice/Slots.ts"
import * as ThreadMemory from "../../layers/transport-splice/ThreadMemory.ts"

const places = (limit: number): SharedArrayBuffer => {
  const shared = new SharedArrayBuffer(8)
  new Int32Array(shared)[ThreadMemory.places.limit] = limit
  return shared
}

describe("a slot", () => {
  it("is used again only when the control side has heard of the end, whatever may still wait to be told", () => {
    const slots = Slots.make(ThreadMemory.make(2, 0, places(10)))
    const take = (): number => {
      const slot = slots.next()
      if (slot >= 0) slots.take(slot)
      return slot
    }
    assert.deepStrictEqual([take(), take(), take()], [0, 1, -1])
    const ids = [...slots.generation]
    slots.free(1)
    slots.free(0)
    assert.strictEqual(slots.next(), -1)
    slots.heard[0] = slots.generation[0] ?? 0
    assert.strictEqual(slots.next(), -1, "who has been free for longest comes first")
    slots.heard[1] = slots.generation[1] ?? 0
    assert.deepStrictEqual([take(), take(), take()], [1, 0, -1])
    assert.notDeepEqual([...slots.generation], ids)
    slots.free(1)
    assert.strictEqual(slots.next(), -1, "what was heard of is another's end")
  })

  it("is not to be had without a place of the engine's", () => {
    const slots = Slots.make(ThreadMemory.make(2, 0, places(1)))
    assert.isTrue(slots.hasPlace())
    assert.isTrue(slots.reserve())
    assert.isFalse(slots.hasPlace())
    assert.isFalse(slots.reserve())
    slots.unreserve()
    assert.isTrue(slots.reserve())
  })
})
