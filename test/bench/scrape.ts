import * as Effect from "effect/Effect"

const EVERY_MS = 1_000

const read = (url: string): Effect.Effect<void> =>
  Effect.tryPromise((signal) => fetch(url, { signal }).then((answer) => answer.text())).pipe(Effect.ignore)

/** Reads metrics once a second, as Prometheus does when it is in a hurry, while the work goes on. */
export const whileScraped = <A>(url: string | undefined, work: Effect.Effect<A>): Effect.Effect<A> =>
  url === undefined
    ? work
    : Effect.raceFirst(
        work,
        Effect.forever(
          Effect.andThen(Effect.sleep(EVERY_MS / 2), Effect.andThen(read(url), Effect.sleep(EVERY_MS / 2)))
        )
      )

/** Whether there is something to read. */
export const hasMetrics = (url: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    fetch(url).then(
      (answer) => answer.text().then(() => answer.ok),
      () => false
    )
  )
