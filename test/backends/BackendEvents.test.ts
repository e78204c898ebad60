import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { Conditions } from "../../src/observe/Conditions.ts"
import { BackendEvents, REMEMBERED } from "../../src/backends/BackendEvents.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { backend } from "../support/fixtures.ts"
import { routing } from "../support/routing.ts"
import { settled } from "../support/settled.ts"

const make = Effect.fnUntraced(function* (apps: ReadonlyArray<string | undefined>, size: number) {
  const lines: Array<ReadonlyArray<unknown>> = []
  const logger = Logger.layer([
    Logger.make<unknown, void>(({ message }) => void lines.push(Array.isArray(message) ? message : [message]))
  ])
  const services = yield* Layer.build(
    BackendEvents.layer({ apps }).pipe(
      Layer.provideMerge(Conditions.layer),
      Layer.provideMerge(routing()),
      Layer.provide(logger)
    )
  )
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    for (let index = 0; index < size; index++) upstreams.put(backend({ id: `b${index}`, app: "web" }))
    const see = (index: number, seen: Parameters<typeof upstreams.observe>[1]): void => {
      const upstream = upstreams.get(`b${index}`)
      if (upstream !== undefined) upstreams.observe(upstream, seen)
    }
    const events = yield* BackendEvents
    return { see, lines, ...events, conditions: (yield* Conditions).present }
  }).pipe(Effect.provideContext(services))
})

describe("what becomes of backends", () => {
  it.effect("is said once for each change, and counted", () =>
    Effect.gen(function* () {
      const { count, lines, recent, see } = yield* make(["web"], 3)
      see(0, { up: false, checkError: "refused: ECONNREFUSED" })
      see(0, { up: false, checkError: "timeout: none" })
      see(1, { circuit: { _tag: "Open", since: 0 }, admits: false })
      see(0, { up: true, checkError: undefined })
      yield* settled
      assert.deepStrictEqual(lines, [
        ["backend down: its checks fail", { id: "b0", app: "web", error: "refused: ECONNREFUSED" }],
        ["circuit open: the backend has failed too often in a row", { id: "b1", app: "web" }],
        ["backend up again: its checks pass, or are off", { id: "b0", app: "web" }]
      ])
      assert.deepStrictEqual([count("down"), count("up"), count("circuit-open"), count("panic")], [1, 1, 1, 0])
      assert.deepStrictEqual(recent(), [
        { seq: 1, at: 0, change: "down", id: "b0", app: "web", detail: "refused: ECONNREFUSED" },
        { seq: 2, at: 0, change: "circuit-open", id: "b1", app: "web", detail: "" },
        { seq: 3, at: 0, change: "up", id: "b0", app: "web", detail: "" }
      ])
    })
  )

  it.effect("does not fill the log when many fall at once, and tells of panic in the apps that are served", () =>
    Effect.gen(function* () {
      const { conditions, count, lines, see } = yield* make(["web"], 200)
      for (let index = 0; index < 200; index++) see(index, { up: false, checkError: "refused: ECONNREFUSED" })
      yield* settled
      assert.strictEqual(count("down"), 200)
      assert.lengthOf(lines, 22)
      assert.deepInclude(lines, ["backend down: its checks fail", { more: 180 }])
      assert.deepInclude(lines, [
        "too few backends are up: checks and circuits are ignored",
        { app: "web", up: 0, backends: 200 }
      ])
      // Nobody is routed among all apps here, so that their panic is not told.
      assert.strictEqual(count("panic"), 1)
      assert.deepStrictEqual(conditions(), ["panic"])
      for (let index = 0; index < 30; index++) see(index, { up: true })
      yield* settled
      assert.lengthOf(lines, 22)
      yield* TestClock.adjust(1_000)
      assert.lengthOf(lines, 22 + 20 + 1 + 1)
      assert.deepInclude(lines, ["backend up again: its checks pass, or are off", { more: 10 }])
      assert.strictEqual(count("panic-over"), 1)
      assert.deepStrictEqual(conditions(), [])
    })
  )

  it.effect("is remembered for a while, each with its number", () =>
    Effect.gen(function* () {
      const { recent, see } = yield* make(["web"], 1)
      for (let turn = 0; turn < 400; turn++) see(0, { up: turn % 2 === 1, checkError: undefined })
      const seqs = recent().map(({ seq }) => seq)
      assert.lengthOf(seqs, REMEMBERED)
      // Each fall of the only backend is a panic too.
      assert.strictEqual(seqs.at(-1), 800)
      assert.deepInclude(recent().at(-1), { change: "panic-over", detail: "1 of 1 up" })
    })
  )
})
