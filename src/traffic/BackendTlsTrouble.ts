import * as Effect from "effect/Effect"
import { monotonicMs } from "../actor/Monotonic.ts"
import type { Backend } from "../domain/Backend.ts"
import { type DialError, formatEndpoint } from "./Transport.ts"

/** The same of the same backend is told again after this long. */
const AGAIN_MS = 60_000
/** Backends that are remembered; beyond, all are forgotten, and told of anew. */
const MOST = 1_000

interface Told {
  readonly code: string
  readonly at: number
}

/** Says why no TLS with a backend could be had, which `dial tls` does not, but not for every client that is turned away. */
export const make = Effect.gen(function* () {
  const now = yield* monotonicMs
  const told = new Map<string, Told>()
  return ({ id, ...backend }: Backend, { code }: DialError): Effect.Effect<void> => {
    const at = now()
    const before = told.get(id)
    if (before !== undefined && before.code === code && at - before.at < AGAIN_MS) return Effect.void
    if (told.size >= MOST) told.clear()
    told.set(id, { code, at })
    return Effect.logWarning("no TLS with a backend", { backend: id, address: formatEndpoint(backend), reason: code })
  }
})
