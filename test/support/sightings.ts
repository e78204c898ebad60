import * as Effect from "effect/Effect"
import type { Sighting } from "../../src/routing/BackendSource.ts"

/** `ok the agent answers`, one text for each thing that was found. */
export const sightings = <E>(
  found: Effect.Effect<ReadonlyArray<Sighting>, E>
): Effect.Effect<ReadonlyArray<string>, E> =>
  Effect.map(found, (all) => all.map(({ level, text }) => `${level} ${text}`))
