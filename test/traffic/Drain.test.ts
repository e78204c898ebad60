import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { AnnouncementState } from "../../src/anycast/Announcement.ts"
import type { DrainOptions } from "../../src/traffic/Drain.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import type { ConnectionId } from "../../src/traffic/Transport.ts"
import { backend } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

/** A rig with so many connections that carry bytes, all since time 0. */
const rigOf = Effect.fnUntraced(function* (
  connections: number,
  drain: Partial<DrainOptions> = {},
  announcement?: AnnouncementState
) {
  const rig = yield* trafficRig.make({ drain, ...(announcement === undefined ? {} : { announcement }) })
  const { shutdown, stop, transport, upstreams } = rig
  upstreams.put(backend({ id: "b1" }))
  const open = Effect.gen(function* () {
    const id = transport.accept()
    yield* settled
    transport.dial().succeed()
    yield* settled
    return id
  })
  const ids: Array<ConnectionId> = []
  for (let index = 0; index < connections; index++) ids.push(yield* open)
  return {
    ...rig,
    ids,
    open,
    listening: (): boolean => transport.listeners.every(({ closed }) => !closed),
    /** What was closed by force: when, which, how. */
    closed: () => transport.aborts.map(({ at, how, id }) => [at, id, how]),
    /** A second signal. */
    hurry: Effect.andThen(
      Effect.sync(() => Shutdown.request(shutdown)),
      settled
    ),
    /** A first signal; the fiber ends with the drain. */
    begin: Effect.gen(function* () {
      const draining = yield* Effect.forkChild(stop)
      yield* settled
      return draining
    })
  }
})

const advance = (ms: number) => Effect.andThen(TestClock.adjust(ms), settled)

describe("S1: with nothing to wait for", () => {
  it.effect("the listeners close and that is all", () =>
    Effect.gen(function* () {
      const { listening, shutdown, stop } = yield* rigOf(0)
      assert.isTrue(listening())
      yield* stop
      assert.isFalse(listening())
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 0 })
    })
  )
})

describe("S1: running connections", () => {
  it.effect("go on until they end; the drain ends with the last", () =>
    Effect.gen(function* () {
      const { begin, closed, ids, listening, load, shutdown, transport } = yield* rigOf(2)
      const draining = yield* begin
      assert.isFalse(listening())
      yield* advance(10_000)
      assert.deepStrictEqual([closed(), load("b1"), shutdown.report], [[], 2, undefined])
      for (const id of ids) {
        assert.isUndefined(draining.pollUnsafe())
        transport.end(id)
        yield* settled
      }
      yield* Fiber.join(draining)
      assert.deepStrictEqual([shutdown.report, load("b1")], [{ drained: 2, forced: 0 }, 0])
    })
  )

  it.effect("are closed at the deadline and counted as forced", () =>
    Effect.gen(function* () {
      const { begin, closed, entries, ids, load, shutdown, transport } = yield* rigOf(3, { timeoutMs: 20_000 })
      const [first = 0, ...rest] = ids
      const draining = yield* begin
      transport.end(first)
      yield* advance(19_999)
      assert.deepStrictEqual(closed(), [])
      yield* advance(1)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(
        closed(),
        rest.map((id) => [20_000, id, "rst"])
      )
      assert.deepStrictEqual([shutdown.report, load("b1")], [{ drained: 1, forced: 2 }, 0])
      assert.deepStrictEqual(
        entries.map(({ end_by, end_cause, end_phase }) => `${end_by} ${end_phase} ${end_cause}`),
        ["client relay fin", "proxy drain forced", "proxy drain forced"]
      )
    })
  )

  it.effect("are closed with FIN when idle, with RST when bytes are in flight", () =>
    Effect.gen(function* () {
      const { begin, closed, ids, transport } = yield* rigOf(4, { timeoutMs: 1_000 })
      const [idle = 0, waiting = 0, justNow = 0, both = 0] = ids
      transport.set(idle, { idleMs: 1_000 })
      transport.set(waiting, { idleMs: 60_000, waiting: 1 })
      transport.set(justNow, { idleMs: 999 })
      transport.set(both, { idleMs: 0, waiting: 9 })
      const draining = yield* begin
      yield* advance(1_000)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(closed(), [
        [1_000, idle, "fin"],
        [1_000, waiting, "rst"],
        [1_000, justNow, "rst"],
        [1_000, both, "rst"]
      ])
    })
  )

  it.effect("also go on when what runs the proxy is interrupted, as a signal does it", () =>
    Effect.gen(function* () {
      const { closed, hurry, ids, shutdown, stop, transport } = yield* rigOf(2, { graceMs: 2_000, timeoutMs: 20_000 })
      const proxy = yield* Effect.forkChild(Effect.ensuring(Effect.never, stop))
      yield* settled
      const ending = yield* Effect.forkChild(Fiber.interrupt(proxy))
      yield* advance(10_000)
      assert.deepStrictEqual([closed(), shutdown.report], [[], undefined])
      transport.end(ids[0] ?? 0)
      yield* hurry
      yield* Fiber.join(ending)
      assert.deepStrictEqual(closed(), [[10_000, ids[1], "rst"]])
      assert.deepStrictEqual(shutdown.report, { drained: 1, forced: 1 })
    })
  )

  it.effect("that are still being dialled are closed as well, and no other backend is tried", () =>
    Effect.gen(function* () {
      const { begin, load, shutdown, transport, upstreams } = yield* rigOf(0, { timeoutMs: 1_000 })
      upstreams.put(backend({ id: "b2" }))
      transport.accept()
      yield* settled
      const draining = yield* begin
      yield* advance(1_000)
      yield* Fiber.join(draining)
      assert.strictEqual(transport.dials.length, 1)
      assert.deepStrictEqual([load("b1"), load("b2"), shutdown.report], [0, 0, { drained: 0, forced: 1 }])
    })
  )
})

describe("S1: the grace time", () => {
  it.effect("goes on accepting, and is part of the whole", () =>
    Effect.gen(function* () {
      const { begin, closed, listening, open, shutdown } = yield* rigOf(1, { graceMs: 5_000, timeoutMs: 8_000 })
      const draining = yield* begin
      yield* advance(4_999)
      assert.isTrue(listening())
      const late = yield* open
      yield* advance(1)
      assert.isFalse(listening())
      yield* advance(2_999)
      assert.deepStrictEqual(closed(), [])
      yield* advance(1)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(closed().at(-1), [8_000, late, "rst"])
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 2 })
    })
  )

  it.effect("is waited for even without a connection: others must learn of it first", () =>
    Effect.gen(function* () {
      const { begin, listening } = yield* rigOf(0, { graceMs: 5_000 })
      const draining = yield* begin
      yield* advance(4_999)
      assert.isTrue(listening())
      yield* advance(1)
      yield* Fiber.join(draining)
      assert.isFalse(listening())
    })
  )

  it.effect("does not count who has left by its end", () =>
    Effect.gen(function* () {
      const { begin, ids, shutdown, transport } = yield* rigOf(3, { graceMs: 5_000 })
      const draining = yield* begin
      for (const id of ids.slice(1)) transport.end(id)
      yield* advance(5_000)
      transport.end(ids[0] ?? 0)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(shutdown.report, { drained: 1, forced: 0 })
    })
  )
})

/** A route whose withdrawal takes so long, and after which clients come for so long. */
const routeOf = (takesMs: number, staysMs: number) => {
  const withdrawals: Array<number> = []
  const announcement: AnnouncementState = {
    level: () => "announced",
    confirmed: () => true,
    transitions: () => 0,
    failures: () => 0,
    withdraw: Effect.gen(function* () {
      withdrawals.push(yield* Clock.currentTimeMillis)
      if (takesMs > 0) yield* Effect.sleep(takesMs)
      return staysMs
    })
  }
  return { announcement, withdrawals }
}

describe("S3: the anycast route", () => {
  it.effect("is withdrawn before anything else, and clients are let in until they come no more", () =>
    Effect.gen(function* () {
      const { announcement, withdrawals } = routeOf(300, 5_000)
      const { begin, ids, listening, open, shutdown, transport } = yield* rigOf(1, {}, announcement)
      const draining = yield* begin
      assert.deepStrictEqual([withdrawals, listening()], [[0], true])
      yield* advance(5_299)
      assert.isTrue(listening())
      const late = yield* open
      yield* advance(1)
      assert.isFalse(listening())
      for (const id of [...ids, late]) transport.end(id)
      yield* settled
      yield* Fiber.join(draining)
      assert.deepStrictEqual([shutdown.report, withdrawals], [{ drained: 2, forced: 0 }, [0]])
    })
  )

  it.effect("and the grace time are waited for together", () =>
    Effect.gen(function* () {
      const { begin, listening } = yield* rigOf(0, { graceMs: 7_000 }, routeOf(300, 5_000).announcement)
      const draining = yield* begin
      yield* advance(6_999)
      assert.isTrue(listening())
      yield* advance(1)
      yield* Fiber.join(draining)
    })
  )

  it.effect("takes no longer than the whole drain may, whether it ends or not", () =>
    Effect.gen(function* () {
      for (const [takes, stays] of [
        [0, 60_000],
        [60_000, 0]
      ] as const) {
        const { begin, closed, listening } = yield* rigOf(1, { timeoutMs: 3_000 }, routeOf(takes, stays).announcement)
        const draining = yield* begin
        yield* advance(2_999)
        assert.deepStrictEqual([listening(), closed()], [true, []])
        yield* advance(1)
        yield* Fiber.join(draining)
        assert.deepStrictEqual([listening(), closed().length], [false, 1])
      }
    })
  )

  it.effect("of one who hurries is not waited for, and that of one who hands over stays", () =>
    Effect.gen(function* () {
      const hurried = routeOf(60_000, 60_000)
      const first = yield* rigOf(0, {}, hurried.announcement)
      const draining = yield* first.begin
      Shutdown.request(first.shutdown)
      yield* first.hurry
      yield* Fiber.join(draining)
      assert.isFalse(first.listening())

      const left = routeOf(0, 5_000)
      const second = yield* rigOf(0, {}, left.announcement)
      Shutdown.handOver(second.shutdown)
      yield* second.stop
      assert.deepStrictEqual([second.listening(), left.withdrawals], [false, []])
    })
  )
})

describe("S1: the pace", () => {
  const options = { timeoutMs: 10_000, paceMs: 4_000 }

  it.effect("closes what is left one after another over the last seconds, longest idle first", () =>
    Effect.gen(function* () {
      const { begin, closed, ids, transport } = yield* rigOf(4, options)
      for (const [index, idleMs] of [20_000, 40_000, 0, 30_000].entries()) transport.set(ids[index] ?? 0, { idleMs })
      const draining = yield* begin
      yield* advance(5_999)
      assert.deepStrictEqual(closed(), [])
      yield* advance(4_001)
      yield* Fiber.join(draining)
      const [second, first, last, third] = ids
      assert.deepStrictEqual(closed(), [
        [6_000, first, "fin"],
        [7_000, third, "fin"],
        [8_000, second, "fin"],
        [9_000, last, "rst"]
      ])
    })
  )

  it.effect("counts each of them once", () =>
    Effect.gen(function* () {
      const { begin, shutdown } = yield* rigOf(4, options)
      const draining = yield* begin
      yield* advance(10_000)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 4 })
    })
  )

  it.effect("counts those that end by themselves meanwhile as drained", () =>
    Effect.gen(function* () {
      const { begin, closed, ids, shutdown, transport } = yield* rigOf(4, options)
      const draining = yield* begin
      yield* advance(6_500)
      assert.strictEqual(closed().length, 1)
      const left = ids.filter((id) => closed().every(([, closedId]) => closedId !== id))
      for (const id of left) transport.end(id)
      yield* settled
      yield* Fiber.join(draining)
      assert.strictEqual(closed().length, 1)
      assert.deepStrictEqual(shutdown.report, { drained: 3, forced: 1 })
    })
  )

  it.effect("is no longer than the deadline", () =>
    Effect.gen(function* () {
      const { begin, closed } = yield* rigOf(2, { timeoutMs: 2_000, paceMs: 60_000 })
      const draining = yield* begin
      yield* advance(2_000)
      yield* Fiber.join(draining)
      assert.deepStrictEqual(
        closed().map(([at]) => at),
        [0, 1_000]
      )
    })
  )
})

describe("S2: a second signal closes at once", () => {
  it.effect("in the grace time", () =>
    Effect.gen(function* () {
      const { begin, closed, hurry, listening, shutdown } = yield* rigOf(2, { graceMs: 5_000 })
      const draining = yield* begin
      yield* advance(1_000)
      yield* hurry
      yield* Fiber.join(draining)
      assert.isFalse(listening())
      assert.deepStrictEqual(
        closed().map(([at]) => at),
        [1_000, 1_000]
      )
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 2 })
    })
  )

  it.effect("while connections run", () =>
    Effect.gen(function* () {
      const { begin, closed, hurry, shutdown } = yield* rigOf(2, { paceMs: 5_000 })
      const draining = yield* begin
      yield* advance(1_000)
      assert.deepStrictEqual(closed(), [])
      yield* hurry
      yield* Fiber.join(draining)
      assert.deepStrictEqual(
        closed().map(([at]) => at),
        [1_000, 1_000]
      )
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 2 })
    })
  )

  it.effect("while they are closed at their pace", () =>
    Effect.gen(function* () {
      const { begin, closed, hurry, shutdown } = yield* rigOf(4, { timeoutMs: 10_000, paceMs: 4_000 })
      const draining = yield* begin
      yield* advance(7_500)
      assert.strictEqual(closed().length, 2)
      yield* hurry
      yield* Fiber.join(draining)
      assert.deepStrictEqual(
        closed().map(([at]) => at),
        [6_000, 7_000, 7_500, 7_500]
      )
      assert.deepStrictEqual(shutdown.report, { drained: 0, forced: 4 })
    })
  )

  it.effect("the first asks for the end, the second for haste, more change nothing", () =>
    Effect.gen(function* () {
      const shutdown = Shutdown.make()
      const done = () => [shutdown.requested, shutdown.hurry].map((each) => Deferred.isDoneUnsafe(each))
      assert.deepStrictEqual(done(), [false, false])
      Shutdown.request(shutdown)
      assert.deepStrictEqual(done(), [true, false])
      Shutdown.request(shutdown)
      assert.deepStrictEqual(done(), [true, true])
      Shutdown.request(shutdown)
      assert.deepStrictEqual(done(), [true, true])
    })
  )
})
