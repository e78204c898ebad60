import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { Conditions } from "../observe/Conditions.ts"
import { Shutdown } from "../traffic/Shutdown.ts"
import { Announcement, type AnnouncementState } from "./Announcement.ts"
import { initial, observe } from "./hysteresis.ts"
import { type Level, rankOf } from "./Level.ts"
import { type AnnounceError, RouteAnnouncer } from "./RouteAnnouncer.ts"
import { type PopHealth, type Verdict, verdictOf } from "./verdict.ts"

export interface AnycastOptions {
  /** EDGEPROXY_ANYCAST_HOLD_SECS. */
  readonly holdMs: number
  /** EDGEPROXY_ANYCAST_WITHDRAW_SECS. */
  readonly withdrawMs: number
  /** Another process of this POP hands over to this one: the route stays as it is. */
  readonly adopts: boolean
  /** What the POP is like now; cheap. */
  readonly health: () => Omit<PopHealth, "draining">
}

const LOOK_MS = 250

/** How often the daemon is asked whether all is as it was left: it may have been restarted. */
const CHECK_MS = 5_000

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 30_000

/** The last word to a daemon that does not answer is tried for this long. */
const WITHDRAW_LIMIT_MS = 3_000
const WITHDRAW_RETRY_MS = 200
/** And once more at the very end, when that was in vain. */
const LAST_TRY_MS = 500

/**
 * Keeps the announcement of this POP's anycast addresses in line with its health: looks four times a second, tells the daemon of
 * each change, and every few seconds makes sure of it. A daemon that can't be told is tried again, at growing intervals.
 */
const make = Effect.fnUntraced(
  function* ({ adopts, health, holdMs, withdrawMs }: AnycastOptions) {
    const announcer = yield* RouteAnnouncer
    const supervisor = yield* Supervisor
    const conditions = yield* Conditions
    const shutdown = yield* Shutdown
    const now = yield* monotonicMs
    const oneAtATime = yield* Semaphore.make(1)
    const transitions = new Map<Level, number>()

    let standing = initial
    /** What the daemon was told last, as long as it answers. */
    let told: Level | undefined
    let toldAt = -Infinity
    /** It may still announce something. */
    let mayBeOut = true
    let adopting = adopts
    let gaveUp = false
    let failures = 0
    let failedInARow = 0
    let retryAt = -Infinity

    const failed = Effect.fnUntraced(function* (error: AnnounceError) {
      failures++
      failedInARow++
      const { level } = standing
      const delay = Math.min(FIRST_RETRY_MS * 2 ** (failedInARow - 1), MAX_RETRY_MS)
      retryAt = now() + delay * (0.75 + (yield* Random.next) / 4)
      if (told !== undefined || failedInARow === 1) {
        yield* Effect.logError("the routing daemon can't be told", {
          wanted: level,
          reason: error.reason,
          detail: error.message
        })
      }
      told = undefined
    })

    const succeeded = Effect.fnUntraced(function* (level: Level, changed: ReadonlyArray<string>) {
      if (failedInARow > 0) yield* Effect.logInfo("the routing daemon answers again", { after: failedInARow })
      if (told === level && changed.length > 0) {
        yield* Effect.logWarning("the routing daemon was found otherwise, and set right", { changed })
      }
      failedInARow = 0
      retryAt = -Infinity
      told = level
      toldAt = now()
      mayBeOut = level !== "withdrawn"
    })

    const tell = (level: Level): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        // Also when the answer to this gets lost.
        if (level !== "withdrawn") mayBeOut = true
        return announcer.apply(level)
      }).pipe(
        Effect.flatMap((changed) => succeeded(level, changed)),
        Effect.as(true),
        Effect.catch((error) => Effect.as(failed(error), false))
      )

    const turn = Effect.fnUntraced(function* (verdict: Verdict) {
      const before = standing.level
      standing = observe(standing, verdict, now(), holdMs)
      const { level } = standing
      if (level === before) return false
      transitions.set(level, (transitions.get(level) ?? 0) + 1)
      const fields = { from: before, reasons: verdict.reasons }
      const message = `anycast route ${level}`
      yield* level === "announced" ? Effect.logInfo(message, fields) : Effect.logWarning(message, fields)
      return true
    })

    const verdict = (): Verdict => verdictOf({ ...health(), draining: Deferred.isDoneUnsafe(shutdown.requested) })

    /** Goes on where the predecessor stands, who speaks for the POP until this process serves. */
    const adopt = Effect.gen(function* () {
      if (health().notReady.length > 0) return
      const level = yield* announcer.current
      standing = { ...initial, level }
      adopting = false
    }).pipe(Effect.catch((error) => (now() >= retryAt ? failed(error) : Effect.void)))

    /**
     * Makes sure that all is as it was left. Whoever has taken the route down meanwhile had a reason: it has to be earned anew,
     * so that two who disagree don't make it flap.
     */
    const makeSure = Effect.gen(function* () {
      const found = yield* announcer.current
      const { level } = standing
      if (rankOf(found) < rankOf(level)) {
        yield* Effect.logWarning("somebody else has taken the anycast route down", { found, wanted: level })
        standing = { ...initial, level: found }
        transitions.set(found, (transitions.get(found) ?? 0) + 1)
      }
      yield* tell(standing.level)
    }).pipe(Effect.catch(failed))

    const look = Effect.gen(function* () {
      if (Deferred.isDoneUnsafe(shutdown.handedOver)) return
      // The last word is said. Whoever announces now is the next process, which must not be contradicted for a whole drain.
      if (Deferred.isDoneUnsafe(shutdown.requested) && told === "withdrawn") return
      if (adopting) return yield* adopt
      const turned = yield* turn(verdict())
      const { level } = standing
      if (turned || (told !== level && now() >= retryAt)) yield* tell(level)
      else if (told === level && now() - toldAt >= CHECK_MS) yield* makeSure
    })
    const loop = Effect.forever(Effect.andThen(oneAtATime.withPermit(look), Effect.sleep(LOOK_MS)))

    const insist = Effect.gen(function* () {
      while (!(yield* tell("withdrawn"))) yield* Effect.sleep(WITHDRAW_RETRY_MS)
    })

    const withdraw = Effect.gen(function* () {
      if (Deferred.isDoneUnsafe(shutdown.handedOver)) return 0
      adopting = false
      yield* turn({ level: "withdrawn", urgent: true, reasons: ["draining"] })
      if (!mayBeOut) return 0
      const done = yield* Effect.timeoutOption(insist, gaveUp ? LAST_TRY_MS : WITHDRAW_LIMIT_MS)
      if (done._tag === "None" && !gaveUp) {
        gaveUp = true
        yield* Effect.logError("the anycast route may still stand: the routing daemon was not reached", {
          target: announcer.target
        })
      }
      return withdrawMs
    }).pipe(oneAtATime.withPermit, Effect.annotateLogs({ service: "anycast" }))

    yield* conditions.watch("anycast-degraded", () => standing.level === "degraded")
    yield* conditions.watch("anycast-withdrawn", () => standing.level === "withdrawn")
    yield* conditions.watch("anycast-unreachable", () => failedInARow > 0)
    // Whatever ends the process in good order ends the announcement too; after a drain there is nothing left to do.
    // In a fiber of its own: in one that is being interrupted a wait would end at once.
    yield* Effect.addFinalizer(() => Effect.asVoid(Effect.flatMap(Effect.forkDetach(withdraw), Fiber.join)))
    yield* supervisor.supervise("anycast", loop)

    const state: AnnouncementState = {
      level: () => standing.level,
      confirmed: () => told === standing.level,
      transitions: (level) => transitions.get(level) ?? 0,
      failures: () => failures,
      withdraw
    }
    return state
  },
  Effect.annotateLogs({ service: "anycast" })
)

export const layer = (
  options: AnycastOptions
): Layer.Layer<never, never, Conditions | RouteAnnouncer | Shutdown | Supervisor> =>
  Layer.effect(Announcement, make(options))
