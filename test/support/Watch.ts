import * as Effect from "effect/Effect"

/** What a test waits for: conditions are looked at again each time something has happened. */
export interface Watch {
  /** Something has happened. */
  readonly touch: () => void
  /**
   * What `look` finds, as soon as it finds something. Dies after `ms` milliseconds with what was waited for, so that a
   * test that hangs says on what.
   */
  readonly until: <A>(what: string | (() => string), look: () => A | undefined | false, ms?: number) => Effect.Effect<A>
}

const PATIENCE_MS = 15_000

const overdue = (what: string | (() => string), ms: number): Effect.Effect<never> =>
  Effect.suspend(() => Effect.die(new Error(`after ${ms} ms still no ${typeof what === "string" ? what : what()}`)))

export const make = (): Watch => {
  const waiters = new Set<() => void>()
  return {
    touch: () => {
      for (const waiter of waiters) waiter()
    },
    until: <A>(what: string | (() => string), look: () => A | undefined | false, ms = PATIENCE_MS) =>
      Effect.callback<A>((resume) => {
        const check = (): void => {
          const found = look()
          if (found === undefined || found === false) return
          waiters.delete(check)
          resume(Effect.succeed(found))
        }
        waiters.add(check)
        check()
        return Effect.sync(() => waiters.delete(check))
      }).pipe(Effect.timeoutOrElse({ duration: ms, orElse: () => overdue(what, ms) }))
  }
}

const POLL_MS = 5

/** For what tells nobody when it changes: looks every few milliseconds. */
export const eventually = <A>(
  what: string | (() => string),
  look: () => A | undefined | false,
  ms = PATIENCE_MS
): Effect.Effect<A> =>
  Effect.gen(function* () {
    while (true) {
      const found = look()
      if (found !== undefined && found !== false) return found
      yield* Effect.sleep(POLL_MS)
    }
  }).pipe(Effect.timeoutOrElse({ duration: ms, orElse: () => overdue(what, ms) }))
