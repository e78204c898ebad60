import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Collector } from "./Metric.ts"
import * as PrometheusText from "./PrometheusText.ts"
import { takeNew } from "./Utf8Chunks.ts"

/**
 * A reading of everything that is counted. Readings never run side by side, and one answers all who ask for the same format within
 * {@link SHARED_MS} of its start: however many ask, the rest of the program notices at most two readings of each a second, and
 * none is older than M2 allows.
 */
export class Metrics extends Context.Service<
  Metrics,
  {
    /** Holds until the scope is closed; then its bytes may become those of another page. */
    readonly page: (format: PrometheusText.Format) => Effect.Effect<PrometheusText.Page, never, Scope.Scope>
  }
>()("edgeproxy/observe/Metrics") {
  static readonly layer = <E, R>(
    collectors: Effect.Effect<ReadonlyArray<Collector>, E, R>
  ): Layer.Layer<Metrics, E, Exclude<R, Scope.Scope>> => Layer.effect(Metrics, Effect.flatMap(collectors, make))
}

export const SHARED_MS = 500

interface Reading {
  readonly page: Deferred.Deferred<PrometheusText.Page>
  /** The room of its long chunks. */
  readonly taken: Array<Uint8Array>
  /** Those who may still look at it; one of them for as long as it is shared. */
  holders: number
}

export const make = Effect.fnUntraced(function* (collectors: ReadonlyArray<Collector>) {
  const scope = yield* Effect.scope
  const shared: Partial<Record<PrometheusText.Format, Reading>> = {}
  // One after the other, whatever the format.
  const turn = yield* Semaphore.make(1)
  // Room of the last page for the next one: a table of 10,000 backends makes 13 MB, and as garbage that would have the
  // collector stop the loop for some 10 ms at every other scrape.
  let spare: Array<Uint8Array> = []

  const release = (reading: Reading): void => {
    reading.holders--
    // Never more than one page: those of slow readers are left to the garbage collector.
    if (reading.holders === 0 && reading.taken.length > spare.length) spare = reading.taken
  }

  const render = Effect.fnUntraced(function* ({ taken }: Reading, format: PrometheusText.Format) {
    const rendering = PrometheusText.make(format, () => {
      const room = spare.pop() ?? takeNew()
      taken.push(room)
      return room
    })
    for (const { refresh } of collectors) if (refresh !== undefined) yield* refresh
    for (const { collect } of collectors) yield* collect(rendering)
    return rendering.finish()
  })

  // In a fiber of its own: whoever asked first may go away, and the others still wait.
  const start = (format: PrometheusText.Format) =>
    Effect.suspend(() => {
      const reading: Reading = { page: Deferred.makeUnsafe(), taken: [], holders: 1 }
      shared[format] = reading
      return Effect.all(
        [Deferred.into(turn.withPermit(render(reading, format)), reading.page), Effect.sleep(SHARED_MS)],
        { concurrency: 2 }
      ).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            delete shared[format]
            release(reading)
          })
        ),
        Effect.interruptible,
        Effect.forkIn(scope),
        Effect.as(reading)
      )
    })

  const join = (format: PrometheusText.Format) =>
    Effect.suspend(() => {
      const reading = shared[format]
      return reading === undefined ? start(format) : Effect.succeed(reading)
    }).pipe(Effect.tap((reading) => Effect.sync(() => reading.holders++)))

  return Metrics.of({
    page: (format) =>
      Effect.acquireRelease(join(format), (reading) => Effect.sync(() => release(reading))).pipe(
        Effect.flatMap(({ page }) => Deferred.await(page))
      )
  })
})
