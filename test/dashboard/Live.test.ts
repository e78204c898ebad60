import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { EVERY_MS, GAP_MS, MAX_VIEWERS, UNSEEN_MS } from "../../src/dashboard/Live.ts"
import type { LiveMessage } from "../../src/dashboard/LiveMessage.ts"
import { KEPT_SAMPLES } from "../../src/dashboard/LiveView.ts"
import { KEPT_MS } from "../../src/dashboard/Reading.ts"
import { unknownGeo } from "../../src/domain/Score.ts"
import { recordOf } from "../../src/traffic/Connections.ts"
import { viewOf } from "../api/MemoryRegistry.ts"
import { backend, client } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import { make } from "./liveRig.ts"

const pass = (ms: number) => Effect.andThen(TestClock.adjust(ms), settled)

const withBackends = Effect.fnUntraced(function* (count: number) {
  const rig = yield* make()
  for (let index = 0; index < count; index++) {
    rig.registry.views.set(`b${index}`, viewOf({ id: `b${index}` }))
    rig.upstreams.put(backend({ id: `b${index}`, app: "web" }))
  }
  return {
    ...rig,
    /** A check has failed. */
    kill: (id: string): void => {
      rig.registry.views.set(id, viewOf({ id, state: "down", checkError: "refused" }))
      const upstream = rig.upstreams.get(id)
      if (upstream !== undefined) rig.upstreams.observe(upstream, { up: false, checkError: "refused" })
    }
  }
})

const namesOf = (message: LiveMessage | undefined): ReadonlyArray<string> => Object.keys(message ?? {}).sort()

describe("the live stream", () => {
  it.effect("begins with everything and goes on with what has changed", () =>
    Effect.gen(function* () {
      const { registry, watch } = yield* withBackends(3)
      const { messages, view } = yield* watch
      yield* settled
      assert.lengthOf(messages, 1)
      assert.deepInclude(view.parts.pop, { version: "1.2.3", pop: "gru1", region: "sa" })
      assert.deepStrictEqual(view.parts.states, { active: 3 })
      assert.deepStrictEqual(view.parts.self?.certificate, { source: "db.crt", notAfter: 2_000 })
      assert.notInclude(JSON.stringify(messages), "secret")
      assert.lengthOf([...view.backends], 3)
      registry.views.set("b1", viewOf({ id: "b1", connections: 7 }))
      yield* pass(EVERY_MS)
      const last = messages.at(-1)
      assert.deepStrictEqual(last?.backends, undefined)
      assert.deepStrictEqual(Object.values(last?.loads ?? {}), [[7, 0, 0]])
      assert.lengthOf(last?.samples ?? [], 1)
    })
  )

  it.effect("tells of a backend that dies at once, and of many within a moment together", () =>
    Effect.gen(function* () {
      const { kill, messages, view } = yield* Effect.gen(function* () {
        const rig = yield* withBackends(50)
        const viewer = yield* rig.watch
        return { ...rig, ...viewer }
      })
      yield* pass(EVERY_MS + GAP_MS)
      const before = messages.length
      kill("b7")
      yield* settled
      assert.strictEqual(messages.length, before + 1)
      assert.deepStrictEqual(view.parts.states, { active: 49, down: 1 })
      const event = view.events.at(-1)
      assert.deepStrictEqual([event?.change, event?.id, event?.detail], ["down", "b7", "refused"])
      for (let index = 10; index < 40; index++) kill(`b${index}`)
      yield* settled
      assert.strictEqual(messages.length, before + 1)
      yield* pass(GAP_MS)
      assert.strictEqual(messages.length, before + 2)
      assert.deepStrictEqual(view.parts.states, { active: 19, down: 31 })
    })
  )

  it.effect("tells at once of what the table says", () =>
    Effect.gen(function* () {
      const { publish, registry, watch } = yield* withBackends(2)
      const { view } = yield* watch
      yield* pass(EVERY_MS + GAP_MS)
      registry.views.set("b1", viewOf({ id: "b1", state: "draining" }))
      yield* publish
      yield* settled
      assert.deepStrictEqual(view.parts.states, { active: 1, draining: 1 })
    })
  )

  it.effect("is read once for all, and not while nobody looks", () =>
    Effect.gen(function* () {
      const { live, looks, watch } = yield* withBackends(1)
      yield* pass(10_000)
      assert.strictEqual(looks(), 0)
      const scope = yield* Scope.make()
      const viewers = yield* Effect.all(Array.from({ length: 5 }, () => watch)).pipe(Scope.provide(scope))
      yield* settled
      assert.deepStrictEqual([live.viewers(), looks()], [5, 1])
      yield* pass(EVERY_MS)
      assert.strictEqual(looks(), 2)
      for (const { messages } of viewers) assert.deepStrictEqual(messages.at(-1), viewers[0]?.messages.at(-1))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(live.viewers(), 0)
      yield* pass(60_000)
      assert.strictEqual(looks(), 2)
    })
  )

  it.effect("gives who comes later everything at once, with the samples and events so far", () =>
    Effect.gen(function* () {
      const { kill, watch } = yield* withBackends(4)
      const first = yield* watch
      yield* pass(EVERY_MS)
      kill("b2")
      yield* pass(5 * EVERY_MS)
      const second = yield* watch
      yield* settled
      assert.lengthOf(second.messages, 1)
      assert.deepStrictEqual(second.view.samples, first.view.samples)
      assert.deepStrictEqual(second.view.backends, first.view.backends)
      assert.deepStrictEqual(second.view.events, first.view.events)
    })
  )

  it.effect("does not keep waiting who comes just after another one has gone", () =>
    Effect.gen(function* () {
      const { watch } = yield* withBackends(1)
      yield* Effect.scoped(Effect.andThen(watch, settled))
      const { messages } = yield* watch
      yield* pass(GAP_MS)
      assert.lengthOf(messages, 1)
    })
  )

  it.effect("shows who comes what went on in the ten minutes before, at a coarser step", () =>
    Effect.gen(function* () {
      const { counters, watch } = yield* withBackends(1)
      const listener = counters.addListener("127.0.0.1:80", undefined, false)
      yield* pass(3_600_000)
      for (let second = 0; second < 60; second++) {
        for (let each = 0; each < 7; each++) counters.accepted(listener)
        yield* pass(1_000)
      }
      const { view } = yield* watch
      yield* settled
      const steps = view.samples.map(([at], index) => at - (view.samples[index - 1]?.[0] ?? NaN)).slice(1)
      assert.isTrue(
        steps.every((step) => step === UNSEEN_MS),
        String(steps)
      )
      assert.approximately(steps.length * UNSEEN_MS, KEPT_MS, UNSEEN_MS)
      const begun = view.samples.map(([, , begun]) => begun)
      assert.deepStrictEqual(
        begun.slice(-11),
        Array.from({ length: 11 }, () => 7)
      )
      assert.deepStrictEqual(
        begun.slice(0, 100),
        Array.from({ length: 100 }, () => 0)
      )
    })
  )

  it.effect("tells no rate of a moment: who comes just after a look waits for the next", () =>
    Effect.gen(function* () {
      const { counters, watch } = yield* withBackends(1)
      const listener = counters.addListener("127.0.0.1:80", undefined, false)
      yield* pass(UNSEEN_MS)
      counters.accepted(listener)
      yield* pass(2)
      const { view } = yield* watch
      yield* settled
      assert.deepStrictEqual(
        view.samples.map(([, , begun]) => begun),
        [0]
      )
      yield* pass(EVERY_MS)
      assert.deepStrictEqual(
        view.samples.map(([, , begun]) => begun),
        [0, 1]
      )
    })
  )

  it.effect("tells how connections have ended in the last five minutes, also before anybody looked", () =>
    Effect.gen(function* () {
      const { counters, watch } = yield* withBackends(1)
      const listener = counters.addListener("127.0.0.1:80", undefined, false)
      const remote = { address: "203.0.113.7", port: 50_000 }
      const record = recordOf({ id: 1, remote }, listener, client("203.0.113.7"), unknownGeo, 0)
      const end = (count: number): void => {
        const why = { by: "client", phase: "relay", cause: "fin" } as const
        const ended = { ...why, id: 1, bytesIn: 0, bytesOut: 0, firstByteUs: undefined, code: undefined }
        for (let each = 0; each < count; each++) counters.ended(record, ended, 1)
      }
      yield* pass(60_000)
      end(3)
      yield* pass(200_000)
      end(2)
      yield* pass(10_000)
      const { view } = yield* watch
      yield* settled
      assert.deepStrictEqual(Array.from(view.ends), [["client relay fin", [5, 5]]])
      yield* pass(100_000)
      assert.deepStrictEqual(view.ends.get("client relay fin"), [5, 2])
      yield* pass(300_000)
      assert.deepStrictEqual(view.ends.get("client relay fin"), [5, 0])
    })
  )

  it.effect("keeps no more of the past than a viewer does, however long somebody looks", () =>
    Effect.gen(function* () {
      const { watch } = yield* withBackends(1)
      yield* watch
      for (let minute = 0; minute < 15; minute++) yield* pass(60_000)
      const { view } = yield* watch
      yield* settled
      assert.isAtMost(view.samples.length, KEPT_SAMPLES)
      assert.isAbove(view.samples.length, 550)
    })
  )

  it.effect("a slow reader gets one message for all that has happened meanwhile", () =>
    Effect.gen(function* () {
      const { kill, live, registry, watch } = yield* withBackends(20)
      // Keeps the reading going.
      yield* watch
      yield* settled
      const stream = yield* live.join
      const sizes: Array<number> = []
      const fiber = yield* stream.pipe(
        Stream.tap((bytes) => Effect.sync(() => sizes.push(bytes.length))),
        Stream.tap(() => Effect.sleep(60_000)),
        Stream.runDrain,
        Effect.forkScoped
      )
      yield* settled
      for (let second = 0; second < 59; second++) {
        registry.views.set("b1", viewOf({ id: "b1", connections: second }))
        if (second === 30) kill("b3")
        yield* pass(EVERY_MS)
      }
      assert.lengthOf(sizes, 1)
      yield* pass(EVERY_MS)
      assert.lengthOf(sizes, 2)
      assert.isBelow(sizes[1] ?? 0, 5_000)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("is for so many viewers and no more", () =>
    Effect.gen(function* () {
      const { live, watch } = yield* withBackends(1)
      // All of them are told that there is a place, before any of them takes it.
      const all = yield* Effect.all(Array.from({ length: MAX_VIEWERS + 5 }, () => watch))
      yield* settled
      assert.strictEqual(live.viewers(), MAX_VIEWERS)
      assert.lengthOf(
        all.filter(({ messages }) => messages.length > 0),
        MAX_VIEWERS
      )
      const refused = yield* Effect.flip(live.join)
      assert.strictEqual(refused.message, "32 others watch already; try again later")
    })
  )

  it.effect("ends when the API closes", () =>
    Effect.gen(function* () {
      const { close, live, watch } = yield* withBackends(1)
      const { fiber } = yield* watch
      yield* settled
      yield* close
      yield* Fiber.await(fiber)
      assert.strictEqual(live.viewers(), 0)
    })
  )

  it.effect("is small: a thousand backends that all change all the time cost a few kilobytes a second", () =>
    Effect.gen(function* () {
      const { registry, watch } = yield* withBackends(1_000)
      const { messages, sizes } = yield* watch
      yield* settled
      const begun = messages.length
      for (let second = 0; second < 10; second++) {
        for (let index = 0; index < 1_000; index++) {
          const id = `b${index}`
          registry.views.set(id, viewOf({ id, connections: second * 1_000 + index }))
        }
        yield* pass(EVERY_MS)
      }
      const bytes = sizes.slice(begun).reduce((sum, size) => sum + size, 0)
      assert.isBelow(bytes / 10, 6_000)
      assert.isBelow(sizes[0] ?? Infinity, 150_000)
    })
  )

  it.effect("hostile names stay data", () =>
    Effect.gen(function* () {
      const { registry, watch } = yield* make()
      const id = "</script>\n\ndata: {}\n\n\u2028"
      registry.views.set(id, viewOf({ id }))
      registry.quarantined.set("row\n\ndata: x", "why\n\n")
      const { messages, view } = yield* watch
      yield* settled
      assert.lengthOf(messages, 1)
      assert.deepStrictEqual(
        Array.from(view.backends.values(), ([id]) => id),
        [id]
      )
      assert.deepStrictEqual(view.parts.quarantined?.shown, [["row\n\ndata: x", "why\n\n"]])
      assert.include(namesOf(messages[0]), "parts")
    })
  )
})
