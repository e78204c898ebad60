import * as Effect from "effect/Effect"
import { type Certificate, expiryWarning } from "../../src/tls/Certificate.ts"

/** Tells of certificates that end soon, of each once for every stage of it. */
export const make = (now: () => number) => {
  let told = new Map<string, number>()
  return Effect.fnUntraced(function* (certificates: ReadonlyArray<Certificate>) {
    const before = told
    told = new Map()
    for (const { chain, notAfter, source } of certificates) {
      const days = expiryWarning(notAfter, now())
      if (days === undefined) continue
      told.set(chain, days)
      if (days >= (before.get(chain) ?? Infinity)) continue
      const expires = new Date(notAfter).toISOString()
      yield* Effect.logWarning("a certificate expires soon", { certificate: source, expires, withinDays: days })
    }
  })
}
