import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Outbox from "../../layers/transport-splice/Outbox.ts"
import * as Ring from "../../layers/transport-splice/Ring.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const WORDS = 64
const HEAD = 0
const TAIL = 16

/** A ring whose positions have come as far as this. */
const ringAt = (position: number): SharedArrayBuffer => {
  const shared = Ring.memory(WORDS)
  const control = new Int32Array(shared)
  control[HEAD] = position
  control[TAIL] = position
  return shared
}

const message = (kind: number, words: number, seed: number) => ({
  kind,
  words: Int32Array.from({ length: words }, (_, i) => seed * 31 + i)
})

const readAll = (reader: Ring.Reader, lengths: Array<number>) => {
  const read: Array<{ readonly kind: number; readonly words: Int32Array }> = []
  for (let at = reader.next(); at >= 0; at = reader.next()) {
    assert.strictEqual(at % 2, 0, "floats fit")
    read.push({ kind: reader.kind(), words: reader.words.slice(at, at + (lengths.shift() ?? 0)) })
    reader.done()
  }
  return read
}

const steps = Arbitrary.array(
  Arbitrary.all({
    what: oneOf(["write", "write", "read"]),
    kind: Arbitrary.schema(between(1, 255)),
    words: Arbitrary.schema(between(0, 16))
  }),
  { maxLength: 200 }
)

describe("a ring", () => {
  it.prop(
    "gives every message it took, in order and whole, wherever its positions stand",
    [steps, oneOf([0, 62, 0x7fff_ffe0, 0x7fff_fffe, -64, -2])],
    ([steps, position]) => {
      const shared = ringAt(position)
      const writer = Ring.writer(shared)
      const reader = Ring.reader(shared)
      let expected: Array<ReturnType<typeof message>> = []
      for (const [seed, { kind, what, words }] of steps.entries()) {
        if (what === "write") {
          const next = message(kind, words, seed)
          if (writer.push(kind, next.words, words)) expected.push(next)
          else assert.isAbove(expected.length, 0, "an empty ring takes a message")
          assert.strictEqual(writer.isUnread(), expected.length > 0)
        } else {
          assert.deepStrictEqual(
            readAll(
              reader,
              expected.map(({ words }) => words.length)
            ),
            expected
          )
          expected = []
          assert.isFalse(writer.isUnread())
        }
      }
    }
  )

  it("is full before anything unread is written over", () => {
    const shared = ringAt(0)
    const writer = Ring.writer(shared)
    const one = message(1, 6, 1)
    let taken = 0
    while (writer.push(1, one.words, 6)) taken++
    assert.strictEqual(taken, WORDS / 8)
    const reader = Ring.reader(shared)
    assert.lengthOf(
      readAll(
        reader,
        Array.from({ length: taken }, () => 6)
      ),
      taken
    )
  })

  it("says once that a sleeper has to be woken, and only if there is something to read", () => {
    const shared = ringAt(0)
    const writer = Ring.writer(shared)
    const reader = Ring.reader(shared)
    assert.isFalse(writer.mustWake(), "nobody sleeps")
    assert.isTrue(reader.sleep())
    assert.isFalse(writer.mustWake(), "nothing to read")
    writer.push(1, Int32Array.of(7), 1)
    assert.isTrue(writer.mustWake())
    assert.isFalse(writer.mustWake(), "it has been woken")
    assert.isFalse(reader.sleep(), "not with a message waiting")
    assert.isAtLeast(reader.next(), 0)
    reader.done()
    assert.isTrue(reader.sleep())
    reader.wake()
    writer.push(1, Int32Array.of(7), 1)
    assert.isFalse(writer.mustWake())
  })
})

describe("an outbox", () => {
  it("keeps in order what the ring does not take", () => {
    const shared = ringAt(0)
    const outbox = Outbox.make(Ring.writer(shared), 16)
    const reader = Ring.reader(shared)
    for (let i = 0; i < 50; i++) {
      outbox.words[0] = i
      outbox.words[1] = -i
      outbox.send(1 + (i % 3), 2)
    }
    assert.isTrue(outbox.isFull())
    const numbers: Array<number> = []
    for (let round = 0; round < 50 && numbers.length < 50; round++) {
      for (let at = reader.next(); at >= 0; at = reader.next()) {
        assert.strictEqual(reader.words[at + 1], -(reader.words[at] ?? 0) | 0)
        assert.strictEqual(reader.kind(), 1 + ((reader.words[at] ?? 0) % 3))
        numbers.push(reader.words[at] ?? -1)
        reader.done()
      }
      outbox.flush()
    }
    assert.deepStrictEqual(
      numbers,
      Array.from({ length: 50 }, (_, i) => i)
    )
    assert.isFalse(outbox.isFull())
  })

  it("is urgent when anything was sent that can't wait", () => {
    const outbox = Outbox.make(Ring.writer(ringAt(0)), 16, new Set([2]))
    outbox.send(2, 1)
    assert.isFalse(outbox.isUrgent())
    outbox.send(1, 1)
    outbox.send(2, 1)
    assert.isTrue(outbox.isUrgent())
    assert.isFalse(outbox.isUrgent())
  })
})
