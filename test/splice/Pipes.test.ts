import { assert, describe, it } from "@effect/vitest"
import * as Pipes from "../../layers/transport-splice/Pipes.ts"
import { probe } from "../../layers/transport-splice/probe.ts"
import { allocate, read, write } from "../../layers/transport-splice/libc.ts"
import { countFds } from "../support/fds.ts"

describe.skipIf(process.platform !== "linux")("pipes", () => {
  it("are bounded, carry bytes, and leave no descriptor behind", () => {
    const before = countFds()
    const fds = new Int32Array(6)
    const pipes = Pipes.make(fds)
    const taken = [pipes.take(), pipes.take(), pipes.take()]
    assert.deepStrictEqual([...taken].sort(), [0, 1, 2])
    assert.strictEqual(pipes.take(), -1)
    assert.strictEqual(pipes.open(), 3)
    const memory = allocate(8)
    memory.words[0] = 42
    for (const pipe of taken) {
      assert.strictEqual(write(pipes.writeEnd(pipe), memory.address, 4), 4)
      const back = allocate(8)
      assert.strictEqual(read(pipes.readEnd(pipe), back.address, 8), 4)
      assert.strictEqual(back.words[0], 42)
    }
    pipes.give(taken[0] ?? -1)
    pipes.discard(taken[1] ?? -1)
    assert.strictEqual(pipes.take(), taken[0])
    assert.strictEqual(pipes.take(), taken[1])
    for (const pipe of taken) pipes.give(pipe)
    pipes.trim()
    assert.strictEqual(pipes.open(), 0)
    assert.isTrue(fds.every((fd) => fd === 0))
    assert.strictEqual(countFds(), before)
  })
})

describe.skipIf(process.platform !== "linux")("the probe", () => {
  it("finds what there is, and leaves nothing open", () => {
    const before = countFds()
    assert.isUndefined(probe())
    assert.strictEqual(countFds(), before)
  })
})
