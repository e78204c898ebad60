import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import type { ExportCounts, Signal } from "../../src/observe/Telemetry.ts"
import type { Collector, Outcome } from "./post.ts"

export interface ExporterOptions<A> {
  readonly signal: Signal
  readonly collector: Collector
  readonly encode: (items: ReadonlyArray<A>) => Uint8Array
  /** Items that may wait; more are lost, and counted. */
  readonly capacity: number
  /** Items of one request, few enough that encoding them does not hold up the control thread. */
  readonly batch: number
  /** How long the first of a batch waits for others. */
  readonly gatherMs: number
  /** How long the last items may take when the program ends. */
  readonly closeMs: number
  /** Called when the collector is lost, and when it is back. */
  readonly tell: (state: "lost" | "back", why: string) => Effect.Effect<void>
}

export interface Exporter<A> {
  /** Never waits. */
  readonly push: (item: A) => void
  readonly counts: () => ExportCounts
}

const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 30_000
const ATTEMPTS = 5
/** A collector that asks for longer has its batch dropped in time, not kept. */
const MAX_RETRY_AFTER_MS = 60_000

const delayOf = (attempt: number, afterMs: number | undefined) =>
  Effect.map(Random.next, (random) =>
    Math.max(
      Math.min(afterMs ?? 0, MAX_RETRY_AFTER_MS),
      Math.min(FIRST_DELAY_MS * 2 ** attempt, MAX_DELAY_MS) * (0.5 + random / 2)
    )
  )

/**
 * Sends what it is given to a collector, one request at a time, from a bounded queue. A collector that is slow, down or hostile
 * costs the items that do not fit the queue, counted, and no more. When the scope is closed it sends the rest, briefly.
 */
export const make = Effect.fnUntraced(function* <A>(options: ExporterOptions<A>) {
  const { batch, capacity, collector, encode, gatherMs } = options
  const path = `/v1/${options.signal}`
  const some = yield* Latch.make(false)
  const many = yield* Latch.make(false)
  const closing = yield* Deferred.make<void>()
  const dropped = { full: 0, rejected: 0, unreachable: 0 }
  let waiting: Array<A> = []
  let exported = 0
  let failedRequests = 0
  let lost = false

  const push = (item: A): void => {
    if (waiting.length >= capacity) return void dropped.full++
    waiting.push(item)
    some.openUnsafe()
    if (waiting.length >= batch) many.openUnsafe()
  }

  const take = (): ReadonlyArray<A> => {
    const taken = waiting.slice(0, batch)
    waiting = waiting.slice(batch)
    if (waiting.length === 0) some.closeUnsafe()
    if (waiting.length < batch) many.closeUnsafe()
    return taken
  }

  const asked = (body: Uint8Array): Effect.Effect<Outcome> =>
    Effect.promise((signal) => collector.post(path, body, signal))

  const noticed = Effect.fnUntraced(function* (state: "lost" | "back", why: string) {
    if (lost === (state === "lost")) return
    lost = state === "lost"
    yield* options.tell(state, why)
  })

  const isClosing = (): boolean => Deferred.isDoneUnsafe(closing)

  /** Until it is delivered, refused, or has failed too often. At the end of the program there is one try. */
  const send = Effect.fnUntraced(function* (items: ReadonlyArray<A>) {
    const body = encode(items)
    for (let attempt = 0; ; attempt++) {
      const outcome = yield* asked(body)
      if (outcome._tag === "Delivered") {
        exported += items.length
        return yield* noticed("back", "")
      }
      failedRequests++
      yield* noticed("lost", outcome.why)
      if (outcome._tag === "Rejected") return void (dropped.rejected += items.length)
      if (attempt + 1 >= ATTEMPTS || isClosing()) return void (dropped.unreachable += items.length)
      const delayMs = yield* delayOf(attempt, outcome.retryAfterMs)
      yield* Effect.raceFirst(Effect.sleep(delayMs), Deferred.await(closing))
    }
  })

  const loop = Effect.gen(function* () {
    while (true) {
      yield* Effect.raceFirst(some.await, Deferred.await(closing))
      if (!isClosing()) {
        yield* Effect.raceFirst(Effect.raceFirst(many.await, Effect.sleep(gatherMs)), Deferred.await(closing))
      }
      const items = take()
      if (items.length > 0) yield* send(items)
      else if (isClosing()) return
    }
  }).pipe(
    // A fault of its own costs the batch it had in hand, and never the program.
    Effect.catchDefect((defect) => Effect.logError("telemetry failed by a fault of the proxy", defect)),
    Effect.repeat({ until: isClosing })
  )
  const running = yield* Effect.forkDetach(loop)
  yield* Effect.addFinalizer(() =>
    Deferred.succeed(closing, undefined).pipe(
      Effect.andThen(Fiber.join(running)),
      Effect.interruptible,
      Effect.timeoutOption(options.closeMs),
      Effect.andThen(Fiber.interrupt(running)),
      Effect.asVoid
    )
  )

  const exporter: Exporter<A> = {
    push,
    counts: () => ({ exported, dropped: { ...dropped }, waiting: waiting.length, failedRequests })
  }
  return exporter
})
