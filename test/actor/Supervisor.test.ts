import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Supervisor from "../../src/actor/Supervisor.ts"
import { settled } from "../support/settled.ts"

const policy: Supervisor.RestartPolicy = { ...Supervisor.defaultRestartPolicy, maxDelayMs: 1_000 }

/** Jitter with this share of its range. */
const jitter = (share: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => share })
const fullDelay = jitter(1 - Number.EPSILON)

/** A loop that notes when it starts and then does as told. */
const noting = <E>(starts: Array<number>, then: Effect.Effect<void, E>): Effect.Effect<void, E> =>
  Effect.andThen(
    Effect.map(Clock.currentTimeMillis, (now) => void starts.push(now)),
    then
  )

const stateOf = ({ list }: Supervisor.Supervisor["Service"]) => list().map(({ restarts, state }) => [state, restarts])

describe("the delay before a restart", () => {
  it.each([
    [1, 100],
    [2, 200],
    [3, 400],
    [9, 25_600],
    [10, 30_000],
    [2_000, 30_000]
  ])("number %i in a row is %i ms", (inARow, delay) => {
    assert.strictEqual(Supervisor.restartDelay(Supervisor.defaultRestartPolicy, inARow), delay)
  })

  it.effect("doubles up to the cap", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      const starts: Array<number> = []
      yield* supervisor.supervise("failing", noting(starts, Effect.fail("no")))
      yield* TestClock.adjust(4_600)
      assert.deepStrictEqual(starts, [0, 100, 300, 700, 1_500, 2_500, 3_500, 4_500])
    }).pipe(fullDelay)
  )

  it.effect("is at least half of that", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      const starts: Array<number> = []
      yield* supervisor.supervise("failing", noting(starts, Effect.fail("no")))
      yield* TestClock.adjust(1_300)
      assert.deepStrictEqual(starts, [0, 50, 150, 350, 750, 1_250])
    }).pipe(jitter(0))
  )

  it.effect("differs between actors with one common cause", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      const starts: Array<number> = []
      for (let index = 0; index < 50; index++) {
        yield* supervisor.supervise(`a${index}`, noting(starts, Effect.fail("no")))
      }
      yield* TestClock.adjust(100)
      const second = starts.slice(50, 100)
      assert.isAbove(new Set(second).size, 10)
      for (const at of second) assert.isTrue(at >= 50 && at <= 100, `${at} ms`)
    })
  )

  it.effect("starts afresh after a healthy run", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      const starts: Array<number> = []
      const run = Effect.suspend(() => Effect.sleep(starts.length === 4 ? policy.healthyAfterMs : 0))
      yield* supervisor.supervise("a", noting(starts, Effect.andThen(run, Effect.fail("no"))))
      yield* TestClock.adjust(700)
      assert.deepStrictEqual(starts, [0, 100, 300, 700])
      yield* TestClock.adjust(policy.healthyAfterMs + 300)
      const failedAt = 700 + policy.healthyAfterMs
      assert.deepStrictEqual(starts.slice(4), [failedAt + 100, failedAt + 300])
    }).pipe(fullDelay)
  )
})

describe("what is known of an actor", () => {
  it.effect("running, restarting, and a crash loop from the fifth failure in a row on", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      yield* supervisor.supervise("a", Effect.fail(new Error("no luck")))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(stateOf(supervisor), [["restarting", 1]])
      yield* TestClock.adjust(700)
      assert.deepStrictEqual(stateOf(supervisor), [["restarting", 4]])
      yield* TestClock.adjust(800)
      assert.deepStrictEqual(stateOf(supervisor), [["crash-loop", 5]])
      yield* TestClock.adjust(10_000)
      const lastFailure = { at: 11_500, message: "no luck" }
      assert.deepInclude(supervisor.list()[0], { state: "crash-loop", restarts: 15, lastFailure }, "it never gives up")
    }).pipe(fullDelay)
  )

  it.effect("an actor back from a crash loop is running once it has been healthy long enough", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      let runs = 0
      yield* supervisor.supervise(
        "a",
        Effect.suspend(() => (++runs > 5 ? Effect.never : Effect.die("no")))
      )
      yield* TestClock.adjust(2_500 + policy.healthyAfterMs - 1)
      assert.deepStrictEqual(stateOf(supervisor), [["crash-loop", 5]])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(stateOf(supervisor), [["running", 5]])
    }).pipe(fullDelay)
  )

  it.effect("a restarted actor that works is running at once", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      let runs = 0
      yield* supervisor.supervise(
        "a",
        Effect.suspend(() => (++runs > 1 ? Effect.never : Effect.fail("no")))
      )
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(stateOf(supervisor), [["running", 1]])
    }).pipe(fullDelay)
  )

  it.effect("one that returns is finished and stays in the list", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      yield* supervisor.supervise("once", Effect.void)
      yield* supervisor.supervise("always", Effect.never)
      yield* settled
      assert.deepStrictEqual(
        supervisor.list().map(({ name, state }) => [name, state]),
        [
          ["once", "finished"],
          ["always", "running"]
        ]
      )
    })
  )

  it.effect("one that interrupts itself has finished too: it does not pass for a running one", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      yield* supervisor.supervise("a", Effect.interrupt)
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual(stateOf(supervisor), [["finished", 0]])
    })
  )
})

describe("the end of an actor", () => {
  it.effect("comes with its scope: the loop is interrupted and leaves the list", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      let interrupted = 0
      const scope = yield* Scope.make()
      const loop = Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => void interrupted++)))
      yield* Scope.provide(supervisor.supervise("a", loop), scope)
      yield* supervisor.supervise("b", Effect.never)
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(interrupted, 1)
      assert.deepStrictEqual(
        supervisor.list().map(({ name }) => name),
        ["b"]
      )
    })
  )

  it.effect("comes as well while it waits for its restart", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.make(policy)
      const starts: Array<number> = []
      const scope = yield* Scope.make()
      yield* Scope.provide(supervisor.supervise("a", noting(starts, Effect.fail("no"))), scope)
      yield* settled
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual([starts, supervisor.list()], [[0], []])
    })
  )
})
