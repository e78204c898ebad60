import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import { Supervisor } from "../actor/Supervisor.ts"
import { BackendStore, type StoreChange, StoreError } from "./BackendStore.ts"

/**
 * Writes to the store, one write at a time: what waits meanwhile goes with the next, so that a hundred registrations cost
 * a few commits and not a hundred.
 */
export interface StoreWriter {
  /** Durable when it succeeds. Fails at once when too much waits already. */
  readonly write: (changes: ReadonlyArray<StoreChange>) => Effect.Effect<void, StoreError | Busy>
  readonly counts: () => StoreCounts
}

/** What became of those who wanted something written. */
export interface StoreCounts {
  readonly waiting: number
  readonly done: number
  /** Told that it is not durable, or that too much waits. */
  readonly failed: number
}

export class Busy {
  readonly _tag = "Busy"
}

const WAITING = 4_096
/** Jobs of one commit. */
const BATCH = 256

interface Job {
  readonly changes: ReadonlyArray<StoreChange>
  readonly done: Deferred.Deferred<void, StoreError>
}

export const make = Effect.gen(function* () {
  const store = yield* BackendStore
  const supervisor = yield* Supervisor
  const jobs = yield* Queue.bounded<Job>(WAITING)

  const broken = (cause: Cause.Cause<unknown>): StoreError =>
    new StoreError({ store: store.name, target: "", reason: "unavailable", detail: Cause.pretty(cause) })

  const attempt = (changes: ReadonlyArray<StoreChange>): Effect.Effect<Exit.Exit<void, StoreError>> =>
    store.write(changes).pipe(
      Effect.catchDefect((defect) => Effect.fail(broken(Cause.die(defect)))),
      Effect.exit
    )

  let done = 0
  let failed = 0

  const settle = (job: Job, exit: Exit.Exit<void, StoreError>) => {
    if (Exit.isSuccess(exit)) done++
    else failed++
    return Deferred.done(job.done, exit)
  }

  const writeAll = Effect.fnUntraced(function* (batch: ReadonlyArray<Job>) {
    const exit = yield* attempt(batch.flatMap(({ changes }) => changes))
    const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    // One that the store does not take must not take the others with it.
    const alone = batch.length > 1 && error instanceof StoreError && error.reason === "rejected"
    for (const job of batch) yield* settle(job, alone ? yield* attempt(job.changes) : exit)
  })

  const loop = Effect.gen(function* () {
    const batch = yield* Queue.takeBetween(jobs, 1, BATCH)
    yield* writeAll(batch).pipe(
      // Whoever waits is told, also when this ends in the midst of a write.
      Effect.onInterrupt(() => Effect.forEach(batch, (job) => settle(job, Exit.fail(broken(Cause.empty)))))
    )
  }).pipe(Effect.forever)

  yield* supervisor.supervise("store-writer", loop)

  return {
    write: Effect.fnUntraced(function* (changes) {
      if (changes.length === 0) return
      const done = yield* Deferred.make<void, StoreError>()
      if (!Queue.offerUnsafe(jobs, { changes, done })) {
        failed++
        return yield* Effect.fail(new Busy())
      }
      yield* Deferred.await(done)
    }),
    counts: () => ({ waiting: Queue.sizeUnsafe(jobs), done, failed })
  } satisfies StoreWriter
})
