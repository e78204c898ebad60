import * as Effect from "effect/Effect"
import type { Admission } from "./Admission.ts"

/** How long accepting has been paused, in milliseconds, told by the pauses themselves; undefined while it is not. */
export const watchPauses = (admission: Admission["Service"], now: () => number): (() => number | undefined) => {
  let since: number | undefined
  admission.attach({
    address: { address: "", port: 0 },
    pause: () => void (since ??= now()),
    resume: () => void (since = undefined),
    close: Effect.void
  })
  return () => (since === undefined ? undefined : now() - since)
}
