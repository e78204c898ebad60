import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { type Collector, gauge, noLabels } from "../../src/observe/Metric.ts"
import * as Metrics from "../../src/observe/Metrics.ts"
import type { Page } from "../../src/observe/PrometheusText.ts"
import { settled } from "../support/settled.ts"
import { parse, textOf } from "../support/exposition.ts"

const reading = gauge("reading", "Which one this is.")

/** Counts its readings; each waits for the gate. */
const counting = (gate: Effect.Effect<void> = Effect.void) => {
  const state = { readings: 0, running: 0, most: 0 }
  const collector: Collector = {
    collect: (sink) =>
      Effect.gen(function* () {
        const number = ++state.readings
        state.most = Math.max(state.most, ++state.running)
        yield* gate
        state.running--
        sink.sample(reading, noLabels, number)
      })
  }
  return { state, collector }
}

const numberOf = (metrics: Metrics.Metrics["Service"]) =>
  Effect.scoped(Effect.map(metrics.page("text"), (page) => parse(textOf(page)).value("reading")))

describe("a reading", () => {
  it.effect("answers all who ask while it runs and shortly after; then there is another", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { collector, state } = counting(Deferred.await(gate))
      const metrics = yield* Metrics.make([collector])
      const waiting = yield* Effect.forkScoped(
        Effect.all(
          Array.from({ length: 50 }, () => numberOf(metrics)),
          { concurrency: "unbounded" }
        )
      )
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(waiting), Array(50).fill(1))
      yield* TestClock.adjust(Metrics.SHARED_MS - 1)
      assert.strictEqual(yield* numberOf(metrics), 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* numberOf(metrics), 2)
      assert.deepStrictEqual([state.readings, state.most], [2, 1])
    })
  )

  it.effect("that takes long is followed by another, never joined by one", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { collector, state } = counting(Deferred.await(gate))
      const metrics = yield* Metrics.make([collector])
      const first = yield* Effect.forkScoped(numberOf(metrics))
      yield* settled
      yield* TestClock.adjust(10 * Metrics.SHARED_MS)
      const second = yield* Effect.forkScoped(numberOf(metrics))
      yield* settled
      assert.strictEqual(state.readings, 1)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 1])
      yield* settled
      assert.strictEqual(yield* numberOf(metrics), 2)
    })
  )

  it.effect("goes on for the others when who asked first goes away", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { collector, state } = counting(Deferred.await(gate))
      const metrics = yield* Metrics.make([collector])
      const first = yield* Effect.forkScoped(numberOf(metrics))
      yield* settled
      const second = yield* Effect.forkScoped(numberOf(metrics))
      yield* settled
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(second), 1)
      assert.strictEqual(state.readings, 1)
    })
  )

  it.effect("that fails says so to all who asked, and the next one is another try", () =>
    Effect.gen(function* () {
      let broken = true
      const { collector } = counting()
      const moody: Collector = {
        collect: () => Effect.suspend(() => (broken ? Effect.die(new Error("no reading")) : Effect.void))
      }
      const metrics = yield* Metrics.make([moody, collector])
      const exits = yield* Effect.all([Effect.exit(metrics.page("text")), Effect.exit(metrics.page("text"))], {
        concurrency: 2
      })
      assert.isTrue(exits.every(Exit.isFailure))
      broken = false
      yield* TestClock.adjust(Metrics.SHARED_MS)
      assert.strictEqual(yield* numberOf(metrics), 1)
    })
  )

  it.effect("keeps its bytes for as long as somebody holds it, and gives its room to another then", () =>
    Effect.gen(function* () {
      const long = gauge("long", "Many series.")
      let round = 0
      const collector: Collector = {
        collect: (sink) =>
          Effect.sync(() => {
            round++
            for (let index = 0; index < 3_000; index++) sink.sample(long, { index: `${index}` }, round)
          })
      }
      const metrics = yield* Metrics.make([collector])
      const roundOf = (page: Page) => parse(textOf(page)).value("long", { index: "2999" })
      const holder = yield* Scope.make()
      const held = yield* Scope.provide(metrics.page("text"), holder)
      const rooms = new Set(held.chunks.map(({ buffer }) => buffer))
      const next = Effect.gen(function* () {
        yield* TestClock.adjust(Metrics.SHARED_MS)
        const page = yield* metrics.page("text")
        return { round: roundOf(page), reused: page.chunks.some(({ buffer }) => rooms.has(buffer)) }
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* next, { round: 2, reused: false })
      assert.strictEqual(roundOf(held), 1)
      yield* Scope.close(holder, Exit.void)
      assert.deepStrictEqual(yield* next, { round: 3, reused: true })
      // Now it is another's.
      assert.strictEqual(roundOf(held), 3)
    })
  )

  it.effect("brings everything up to date before it reads anything", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const part = (name: string): Collector => ({
        refresh: Effect.sync(() => void order.push(`refresh ${name}`)),
        collect: () => Effect.sync(() => void order.push(`collect ${name}`))
      })
      const metrics = yield* Metrics.make([part("a"), part("b")])
      yield* metrics.page("text")
      assert.deepStrictEqual(order, ["refresh a", "refresh b", "collect a", "collect b"])
    })
  )
})
