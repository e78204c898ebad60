import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import * as Actor from "../../src/actor/Actor.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { settled } from "../support/settled.ts"

/** An actor that takes one message for each `step`, and fails on the message "bad". */
const stepping = Effect.gen(function* () {
  const steps = yield* Queue.unbounded<void>()
  const received: Array<string> = []
  const actor = yield* Actor.make<string, string, never>({
    name: "stepping",
    mailbox: 2,
    receive: (message) =>
      Effect.andThen(
        Queue.take(steps),
        Effect.suspend(() => {
          received.push(message)
          return message === "bad" ? Effect.fail("bad message") : Effect.void
        })
      )
  })
  const step = Effect.andThen(Queue.offer(steps, undefined), settled)
  return { actor, received, step }
})

describe("a mailbox", () => {
  it.effect("is bounded: offer says no when it is full", () =>
    Effect.gen(function* () {
      const { actor, received, step } = yield* stepping
      assert.isTrue(actor.offer("in work"))
      yield* settled
      assert.deepStrictEqual([actor.offer("1"), actor.offer("2"), actor.offer("3")], [true, true, false])
      assert.strictEqual(actor.waiting(), 2)
      yield* step
      assert.isTrue(actor.offer("4"))
      for (let left = 0; left < 3; left++) yield* step
      assert.deepStrictEqual(received, ["in work", "1", "2", "4"])
      assert.strictEqual(actor.waiting(), 0)
    }).pipe(Effect.provide(Supervisor.layer))
  )

  it.effect("makes a sender wait that can, and loses nothing", () =>
    Effect.gen(function* () {
      const { actor, received, step } = yield* stepping
      const names = Array.from({ length: 6 }, (_, index) => String(index))
      const sender = yield* Effect.forkChild(Effect.forEach(names, actor.tell, { discard: true }))
      yield* settled
      assert.isUndefined(sender.pollUnsafe(), "three fit: one in work, two in the mailbox")
      assert.strictEqual(actor.waiting(), 2)
      for (let left = 0; left < 3; left++) yield* step
      yield* Fiber.join(sender)
      for (let left = 0; left < 3; left++) yield* step
      assert.deepStrictEqual(received, names)
    }).pipe(Effect.provide(Supervisor.layer))
  )
})

describe("a message that can't be received", () => {
  it.effect("is dropped alone; the actor restarts and goes on with the next", () =>
    Effect.gen(function* () {
      const { actor, received, step } = yield* stepping
      const supervisor = yield* Supervisor
      for (const message of ["a", "bad"]) yield* actor.tell(message)
      yield* settled
      yield* actor.tell("b")
      for (let left = 0; left < 3; left++) yield* step
      assert.deepStrictEqual(received, ["a", "bad"])
      assert.deepInclude(supervisor.list()[0], { name: "stepping", state: "restarting", restarts: 1 })
      yield* TestClock.adjust(100)
      yield* settled
      assert.deepStrictEqual(received, ["a", "bad", "b"])
      assert.deepInclude(supervisor.list()[0], { state: "running", restarts: 1 })
    }).pipe(Effect.provide(Supervisor.layer))
  )

  it.effect("may also be one that kills", () =>
    Effect.gen(function* () {
      const received: Array<number> = []
      const actor = yield* Actor.make({
        name: "dying",
        mailbox: 4,
        receive: (message: number) =>
          Effect.sync(() => {
            if (message === 1) throw new Error("a defect")
            received.push(message)
          })
      })
      for (const message of [0, 1, 2]) yield* actor.tell(message)
      yield* TestClock.adjust(100)
      yield* settled
      assert.deepStrictEqual(received, [0, 2])
      assert.strictEqual((yield* Supervisor).list()[0]?.lastFailure?.message, "a defect")
    }).pipe(Effect.provide(Supervisor.layer))
  )
})

describe("one message at a time", () => {
  it.effect("is received to its end before the next", () =>
    Effect.gen(function* () {
      let inside = 0
      let most = 0
      let total = 0
      const actor = yield* Actor.make({
        name: "counting",
        mailbox: 100,
        receive: () =>
          Effect.gen(function* () {
            most = Math.max(most, ++inside)
            yield* Effect.yieldNow
            inside--
            total++
          })
      })
      yield* Effect.forEach(Array.from({ length: 50 }), () => actor.tell(undefined), { concurrency: "unbounded" })
      yield* settled
      assert.deepStrictEqual([most, total], [1, 50])
    }).pipe(Effect.provide(Supervisor.layer))
  )
})
