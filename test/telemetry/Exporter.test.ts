import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Exporter from "../../layers/telemetry/Exporter.ts"
import type { Outcome } from "../../layers/telemetry/post.ts"
import { settled } from "../support/settled.ts"

const failed = (retryAfterMs?: number): Outcome => ({ _tag: "Failed", why: "HTTP 503", retryAfterMs })
const delivered: Outcome = { _tag: "Delivered" }

/** An exporter of numbers, and a collector that answers as the test says. */
const make = Effect.fnUntraced(function* (answer: (request: number) => Outcome | undefined, capacity = 8) {
  const bodies: Array<string> = []
  const told: Array<string> = []
  const scope = yield* Scope.fork(yield* Effect.scope)
  const exporter = yield* Exporter.make<number>({
    signal: "traces",
    collector: {
      post: (path, body, signal) => {
        bodies.push(`${path} ${new TextDecoder().decode(body)}`)
        const outcome = answer(bodies.length)
        if (outcome !== undefined) return Promise.resolve(outcome)
        // Never, but for who gives up.
        return new Promise((resolve) =>
          signal.addEventListener("abort", () => resolve({ _tag: "Failed", why: "given up", retryAfterMs: undefined }))
        )
      },
      close: () => undefined
    },
    encode: (items) => new TextEncoder().encode(items.join(" ")),
    capacity,
    batch: 4,
    gatherMs: 1_000,
    closeMs: 3_000,
    tell: (state, why) => Effect.sync(() => void told.push(`${state} ${why}`))
  }).pipe(Scope.provide(scope))
  yield* settled
  return { exporter, bodies, told, close: Scope.close(scope, Exit.void) }
})

const push = (exporter: Exporter.Exporter<number>, from: number, to: number): void => {
  for (let item = from; item <= to; item++) exporter.push(item)
}

const endSoon = Effect.fnUntraced(function* (close: Effect.Effect<void>) {
  const closing = yield* Effect.forkScoped(close)
  yield* settled
  yield* TestClock.adjust(3_000)
  yield* Fiber.join(closing)
})

describe("the exporter", () => {
  it.effect("gathers for a second, or until a batch is full", () =>
    Effect.gen(function* () {
      const { bodies, exporter } = yield* make(() => delivered)
      exporter.push(1)
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(bodies, [])
      yield* TestClock.adjust(1)
      yield* settled
      assert.deepStrictEqual(bodies, ["/v1/traces 1"])
      push(exporter, 2, 7)
      yield* settled
      assert.deepStrictEqual(bodies.slice(1), ["/v1/traces 2 3 4 5"])
      yield* TestClock.adjust(1_000)
      yield* settled
      assert.deepStrictEqual(bodies.slice(2), ["/v1/traces 6 7"])
      assert.deepInclude(exporter.counts(), { exported: 7, waiting: 0, failedRequests: 0 })
    })
  )

  it.effect("keeps no more than fits while the collector does not answer, and counts the rest", () =>
    Effect.gen(function* () {
      const { bodies, close, exporter } = yield* make(() => undefined)
      push(exporter, 1, 4)
      yield* settled
      push(exporter, 5, 10_000)
      yield* settled
      assert.strictEqual(bodies.length, 1)
      assert.deepInclude(exporter.counts(), { exported: 0, waiting: 8 })
      assert.strictEqual(exporter.counts().dropped.full, 10_000 - 4 - 8)
      yield* endSoon(close)
    })
  )

  it.effect("tries again, later each time, and gives the batch up in the end; the next ones have their turn", () =>
    Effect.gen(function* () {
      const { bodies, exporter, told } = yield* make((request) => (request <= 5 ? failed() : delivered))
      push(exporter, 1, 4)
      for (let second = 0; second < 60; second++) {
        yield* settled
        yield* TestClock.adjust(1_000)
      }
      assert.strictEqual(bodies.length, 5)
      assert.strictEqual(exporter.counts().dropped.unreachable, 4)
      push(exporter, 5, 8)
      yield* settled
      assert.deepStrictEqual(bodies.at(-1), "/v1/traces 5 6 7 8")
      assert.deepInclude(exporter.counts(), { exported: 4, failedRequests: 5 })
      assert.deepStrictEqual(told, ["lost HTTP 503", "back "])
    })
  )

  it.effect("waits as long as the collector asks, and no longer than a minute", () =>
    Effect.gen(function* () {
      const { bodies, exporter } = yield* make((request) =>
        request === 1 ? failed(10_000) : request === 2 ? failed(1e12) : delivered
      )
      push(exporter, 1, 4)
      yield* settled
      yield* TestClock.adjust(9_999)
      yield* settled
      assert.strictEqual(bodies.length, 1)
      yield* TestClock.adjust(1)
      yield* settled
      assert.strictEqual(bodies.length, 2)
      yield* TestClock.adjust(60_000)
      yield* settled
      assert.strictEqual(bodies.length, 3)
      assert.deepInclude(exporter.counts(), { exported: 4 })
    })
  )

  it.effect("does not send again what was refused", () =>
    Effect.gen(function* () {
      const { bodies, exporter } = yield* make(() => ({ _tag: "Rejected", why: "HTTP 400" }))
      push(exporter, 1, 4)
      yield* settled
      yield* TestClock.adjust(60_000)
      yield* settled
      assert.strictEqual(bodies.length, 1)
      assert.strictEqual(exporter.counts().dropped.rejected, 4)
    })
  )

  it.effect("sends the rest at the end", () =>
    Effect.gen(function* () {
      const { bodies, close, exporter } = yield* make(() => delivered)
      push(exporter, 1, 6)
      yield* close
      assert.deepStrictEqual(bodies, ["/v1/traces 1 2 3 4", "/v1/traces 5 6"])
    })
  )

  it.effect("ends in three seconds whatever the collector does", () =>
    Effect.gen(function* () {
      const { close, exporter } = yield* make(() => undefined)
      push(exporter, 1, 8)
      yield* settled
      yield* endSoon(close)
    })
  )

  it.effect("does not wait for another try at the end", () =>
    Effect.gen(function* () {
      const { bodies, close, exporter } = yield* make(() => failed(60_000))
      push(exporter, 1, 4)
      yield* settled
      yield* close
      assert.strictEqual(bodies.length, 2)
      assert.strictEqual(exporter.counts().dropped.unreachable, 4)
    })
  )
})
