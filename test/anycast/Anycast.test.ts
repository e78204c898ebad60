import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import * as Anycast from "../../src/anycast/Anycast.ts"
import { Announcement } from "../../src/anycast/Announcement.ts"
import type { Level } from "../../src/anycast/Level.ts"
import { AnnounceError, RouteAnnouncer } from "../../src/anycast/RouteAnnouncer.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { settled } from "../support/settled.ts"

const well = { notReady: [], backends: 3, minBackends: 1, overloads: [], fullness: 0 }

/** The announcement of a POP whose health and whose routing daemon the test plays. */
const rig = Effect.fnUntraced(function* (options: { readonly adopts?: boolean; readonly daemonAt?: Level } = {}) {
  const played = {
    health: { ...well } as Parameters<typeof Anycast.layer>[0]["health"] extends () => infer H ? H : never,
    daemon: "well" as "well" | "dead" | "mute",
    level: options.daemonAt ?? ("withdrawn" as Level)
  }
  const told: Array<Level> = []
  let asked = 0
  const lines: Array<string> = []
  const shutdown = Shutdown.make()
  const dead = new AnnounceError({ target: "daemon", reason: "unreachable", detail: "nobody is there" })
  const reach = <A>(work: () => A): Effect.Effect<A, AnnounceError> =>
    Effect.suspend((): Effect.Effect<A, AnnounceError> => {
      asked++
      if (played.daemon === "dead") return Effect.fail(dead)
      if (played.daemon === "mute") return Effect.andThen(Effect.sleep(2_000), Effect.fail(dead))
      return Effect.sync(work)
    })
  const announcer = RouteAnnouncer.of({
    target: "daemon",
    current: reach(() => played.level),
    apply: (level) => {
      told.push(level)
      return reach(() => {
        const changed = played.level === level ? [] : [`to ${level}`]
        played.level = level
        return changed
      })
    }
  })
  const scope = yield* Scope.make()
  const services = yield* Layer.buildWithScope(
    Anycast.layer({
      holdMs: 10_000,
      withdrawMs: 5_000,
      adopts: options.adopts ?? false,
      health: () => played.health
    }).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Supervisor.layer,
          Conditions.layer,
          Layer.succeed(Shutdown.Shutdown, shutdown),
          Layer.succeed(RouteAnnouncer, announcer),
          Logger.layer([
            Logger.make<unknown, void>(({ message }) => {
              lines.push(String(Array.isArray(message) ? message[0] : message))
            })
          ])
        )
      )
    ),
    scope
  )
  yield* settled
  const announcement = yield* Effect.provideContext(Announcement, services)
  if (announcement === undefined) throw new Error("no announcement")
  const conditions = yield* Effect.provideContext(Conditions, services)
  return {
    played,
    told,
    /** How often the daemon was spoken to. */
    asked: () => asked,
    lines,
    shutdown,
    // With the program's log.
    announcement: { ...announcement, withdraw: Effect.provideContext(announcement.withdraw, services) },
    conditions: conditions.present,
    close: Scope.close(scope, Exit.void),
    /** In steps, as the looks are. */
    pass: Effect.fnUntraced(function* (ms: number) {
      for (let passed = 0; passed < ms; passed += 250) yield* Effect.andThen(TestClock.adjust(250), settled)
    })
  }
})

describe("the announcement", () => {
  it.effect("is switched off at the start, and on when the POP has been well for the hold time", () =>
    Effect.gen(function* () {
      const { conditions, lines, pass, played, told } = yield* rig({ daemonAt: "announced" })
      assert.deepStrictEqual([told, played.level, conditions()], [["withdrawn"], "withdrawn", ["anycast-withdrawn"]])
      yield* pass(9_750)
      assert.strictEqual(played.level, "withdrawn")
      yield* pass(500)
      assert.deepStrictEqual([played.level, conditions()], ["announced", []])
      assert.deepStrictEqual(lines, ["anycast route announced"])
    })
  )

  it.effect("is said once for each change, and looked after every five seconds", () =>
    Effect.gen(function* () {
      const { announcement, lines, pass, played, told } = yield* rig()
      yield* pass(11_000)
      played.health = { ...well, overloads: ["loop"] }
      yield* pass(11_000)
      played.health = { ...well, backends: 0 }
      yield* pass(11_000)
      assert.deepStrictEqual(lines, ["anycast route announced", "anycast route degraded", "anycast route withdrawn"])
      assert.deepStrictEqual([announcement.transitions("degraded"), announcement.confirmed()], [1, true])
      const before = told.length
      yield* pass(20_000)
      assert.strictEqual(told.length - before, 4)
    })
  )

  it.effect("is earned anew when somebody else has taken it down", () =>
    Effect.gen(function* () {
      const { announcement, lines, pass, played } = yield* rig()
      yield* pass(11_000)
      played.level = "degraded"
      yield* pass(6_000)
      assert.deepStrictEqual([played.level, announcement.level()], ["degraded", "degraded"])
      assert.strictEqual(lines.at(-1), "somebody else has taken the anycast route down")
      yield* pass(10_000)
      assert.deepStrictEqual([played.level, lines.at(-1)], ["announced", "anycast route announced"])
    })
  )

  it.effect("is taken down again when somebody else has put it up", () =>
    Effect.gen(function* () {
      const { lines, pass, played } = yield* rig()
      played.health = { ...well, backends: 0 }
      yield* pass(1_000)
      played.level = "announced"
      yield* pass(6_000)
      assert.deepStrictEqual(
        [played.level, lines],
        ["withdrawn", ["the routing daemon was found otherwise, and set right"]]
      )
    })
  )

  it.effect("is told to a daemon that is back, which is tried at growing intervals and complained of once", () =>
    Effect.gen(function* () {
      const { announcement, asked, conditions, lines, pass, played } = yield* rig()
      yield* pass(11_000)
      played.daemon = "dead"
      const before = asked()
      yield* pass(120_000)
      assert.isBelow(asked() - before, 12)
      assert.isAbove(asked() - before, 5)
      assert.deepStrictEqual(conditions(), ["anycast-unreachable"])
      assert.deepStrictEqual([announcement.confirmed(), announcement.failures()], [false, asked() - before])
      played.daemon = "well"
      played.level = "withdrawn"
      yield* pass(31_000)
      assert.deepStrictEqual([played.level, conditions()], ["announced", []])
      assert.deepStrictEqual(lines.slice(1), ["the routing daemon can't be told", "the routing daemon answers again"])
    })
  )
})

describe("S3: the withdrawal", () => {
  it.effect("is told at once, and says how long clients may still come", () =>
    Effect.gen(function* () {
      const { announcement, pass, played, shutdown } = yield* rig()
      yield* pass(11_000)
      Shutdown.request(shutdown)
      assert.strictEqual(yield* announcement.withdraw, 5_000)
      assert.strictEqual(played.level, "withdrawn")
      yield* pass(20_000)
      assert.strictEqual(played.level, "withdrawn")
      assert.strictEqual(yield* announcement.withdraw, 0)
    })
  )

  it.effect("is the last word: a drain of half a minute leaves alone the next process, which announces meanwhile", () =>
    Effect.gen(function* () {
      const { announcement, close, pass, played, shutdown, told } = yield* rig()
      yield* pass(11_000)
      Deferred.doneUnsafe(shutdown.requested, Effect.void)
      yield* announcement.withdraw
      assert.strictEqual(played.level, "withdrawn")
      const before = told.length
      played.level = "announced"
      yield* pass(30_000)
      yield* close
      assert.deepStrictEqual([played.level, told.length], ["announced", before])
    })
  )

  it.effect("of a POP that was not announced takes no time", () =>
    Effect.gen(function* () {
      const { announcement } = yield* rig()
      assert.strictEqual(yield* announcement.withdraw, 0)
    })
  )

  it.effect.each(["dead", "mute"] as const)(
    "with a daemon that is %s ends in time, insists, and goes on trying",
    (daemon) =>
      Effect.gen(function* () {
        const { announcement, lines, pass, played, shutdown, told } = yield* rig()
        yield* pass(11_000)
        played.daemon = daemon
        Shutdown.request(shutdown)
        const before = told.length
        const withdrawing = yield* Effect.forkChild(announcement.withdraw)
        yield* pass(5_250)
        assert.strictEqual(yield* Fiber.join(withdrawing), 5_000)
        assert.isAbove(told.length - before, 1)
        assert.include(lines, "the anycast route may still stand: the routing daemon was not reached")
        played.daemon = "well"
        yield* pass(31_000)
        assert.strictEqual(played.level, "withdrawn")
      })
  )

  it.effect("comes with the end of the process, however that comes about", () =>
    Effect.gen(function* () {
      const { close, pass, played } = yield* rig()
      yield* pass(11_000)
      yield* close
      assert.strictEqual(played.level, "withdrawn")
    })
  )
})

describe("a handover", () => {
  it.effect("leaves the route to the successor", () =>
    Effect.gen(function* () {
      const { announcement, close, pass, played, shutdown, told } = yield* rig()
      yield* pass(11_000)
      Shutdown.handOver(shutdown)
      const before = told.length
      assert.strictEqual(yield* announcement.withdraw, 0)
      yield* pass(20_000)
      yield* close
      assert.deepStrictEqual([told.length, played.level], [before, "announced"])
    })
  )

  it.effect.each(["announced", "degraded"] as const)("finds it %s and goes on there", (level) =>
    Effect.gen(function* () {
      const { lines, pass, played, told } = yield* rig({ adopts: true, daemonAt: level })
      yield* pass(1_000)
      assert.deepStrictEqual([new Set(told), played.level, lines], [new Set([level]), level, []])
      played.health = { ...well, notReady: ["listener-down"] }
      yield* pass(250)
      assert.strictEqual(played.level, "withdrawn")
    })
  )

  it.effect("waits until it serves", () =>
    Effect.gen(function* () {
      const { pass, played, shutdown, told } = yield* rig({ adopts: true, daemonAt: "announced" })
      yield* pass(250)
      played.health = { ...well, notReady: ["no-table"] }
      assert.isFalse(Deferred.isDoneUnsafe(shutdown.requested))
      assert.notInclude(told, "withdrawn")
    })
  )
})
