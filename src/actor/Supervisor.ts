import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { monotonicMs } from "./Monotonic.ts"

/** How an actor fares, for people and for `/health`. Times are wall-clock milliseconds. */
export interface ActorStatus {
  readonly name: string
  readonly state: "running" | "restarting" | "crash-loop" | "finished"
  readonly restarts: number
  readonly startedAt: number
  readonly lastFailure: { readonly at: number; readonly message: string } | undefined
}

export interface RestartPolicy {
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** Restarts in a row, each without a healthy run between, that make a crash loop. */
  readonly crashLoopAfter: number
  /** A run of this length counts as healthy: delay and row start afresh. */
  readonly healthyAfterMs: number
}

export const defaultRestartPolicy: RestartPolicy = {
  firstDelayMs: 100,
  maxDelayMs: 30_000,
  crashLoopAfter: 5,
  healthyAfterMs: 60_000
}

/**
 * Runs the moving parts. A loop that fails or dies is logged and started again after a delay that doubles up to a cap,
 * with jitter so that actors with one common cause do not return in step. It never gives up: a crash loop shows in the
 * list and the log while the retries go on at the cap. Interruption ends a loop for good.
 */
export class Supervisor extends Context.Service<
  Supervisor,
  {
    /** Forks the loop into the caller's scope. A loop that returns is finished and stays in the list. */
    readonly supervise: <A, E, R>(
      name: string,
      loop: Effect.Effect<A, E, R>
    ) => Effect.Effect<void, never, R | Scope.Scope>
    /** Every actor that is in scope now, in order of their start. */
    readonly list: () => ReadonlyArray<ActorStatus>
  }
>()("edgeproxy/actor/Supervisor") {
  static readonly layer: Layer.Layer<Supervisor> = Layer.effect(
    Supervisor,
    Effect.suspend(() => make(defaultRestartPolicy))
  )
  static readonly layerWith = (policy: RestartPolicy): Layer.Layer<Supervisor> => Layer.effect(Supervisor, make(policy))
}

/** The delay before restart number `inARow` (from 1), before jitter. */
export const restartDelay = (policy: RestartPolicy, inARow: number): number =>
  Math.min(policy.firstDelayMs * 2 ** (inARow - 1), policy.maxDelayMs)

interface Actor {
  readonly name: string
  readonly startedAt: number
  state: ActorStatus["state"]
  restarts: number
  lastFailure: ActorStatus["lastFailure"]
  /** Monotonic start of the current run; undefined between runs. */
  runningSince: number | undefined
}

const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

export const make = Effect.fnUntraced(function* (policy: RestartPolicy) {
  const now = yield* monotonicMs
  const actors = new Set<Actor>()

  const keepRunning = Effect.fnUntraced(function* <A, E, R>(actor: Actor, loop: Effect.Effect<A, E, R>) {
    let inARow = 0
    while (true) {
      const since = now()
      actor.runningSince = since
      const exit = yield* Effect.exit(loop)
      actor.runningSince = undefined
      if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) {
        actor.state = "finished"
        return
      }
      inARow = now() - since >= policy.healthyAfterMs ? 1 : inARow + 1
      actor.restarts++
      actor.state = inARow >= policy.crashLoopAfter ? "crash-loop" : "restarting"
      const message = messageOf(exit.cause)
      actor.lastFailure = { at: yield* Clock.currentTimeMillis, message }
      const delayMs = Math.round(restartDelay(policy, inARow) * (0.5 + (yield* Random.next) / 2))
      yield* Effect.logError(`actor ${actor.name} failed; it starts again`, { message, inARow, delayMs }, exit.cause)
      yield* Effect.sleep(delayMs)
      if (actor.state === "restarting") actor.state = "running"
    }
  })

  const supervise = Effect.fnUntraced(function* <A, E, R>(name: string, loop: Effect.Effect<A, E, R>) {
    const startedAt = yield* Clock.currentTimeMillis
    const actor: Actor = {
      name,
      startedAt,
      state: "running",
      restarts: 0,
      lastFailure: undefined,
      runningSince: undefined
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => actors.add(actor)),
      () => Effect.sync(() => actors.delete(actor))
    )
    yield* Effect.forkScoped(keepRunning(actor, loop).pipe(Effect.annotateLogs({ actor: name })))
  })

  const statusOf = ({ lastFailure, name, restarts, runningSince, startedAt, state }: Actor): ActorStatus => {
    const recovered =
      state === "crash-loop" && runningSince !== undefined && now() - runningSince >= policy.healthyAfterMs
    return { name, state: recovered ? "running" : state, restarts, startedAt, lastFailure }
  }

  return Supervisor.of({ supervise, list: () => Array.from(actors, statusOf) })
})
