import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { Collectors } from "../../src/observe/Collectors.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import { expiresSoon } from "../../src/tls/Certificate.ts"
import { ownCertificateMetric } from "../../src/tls/certificateMetrics.ts"
import * as expiryNotes from "./expiryNotes.ts"
import { type BackendTlsFiles, readBackendTls } from "./readBackendTls.ts"

const same = (one: BackendTls, other: BackendTls): boolean =>
  one.ca === other.ca &&
  one.certificate?.chain === other.certificate?.chain &&
  one.certificate?.key === other.certificate?.key

/**
 * TLS to backends, whose files are looked at again and again. What can't be used is left aside and told of once, and what was
 * in force stays, as for the certificates of listeners; dials and checks from then on go by what is new, and connections that
 * are open go on. Fails when the files can't be used to begin with.
 */
export const make = Effect.fnUntraced(
  function* (files: BackendTlsFiles, reloadMs: number) {
    const supervisor = yield* Supervisor
    const conditions = yield* Conditions
    const collectors = yield* Collectors
    const clock = yield* Clock.clockWith(Effect.succeed)
    const now = (): number => clock.currentTimeMillisUnsafe()
    const tellExpiry = expiryNotes.make(now)
    let current = yield* readBackendTls(files)
    let aside: string | undefined
    const own = () => (current.own === undefined ? [] : [current.own])

    const look = Effect.gen(function* () {
      const found = yield* Effect.result(readBackendTls(files))
      const wrong = found._tag === "Failure" ? found.failure.message : undefined
      if (wrong !== undefined && wrong !== aside) {
        yield* Effect.logError("a file for TLS to backends can't be used; what was in force stays", { reason: wrong })
      }
      aside = wrong
      if (found._tag === "Success" && !same(found.success.tls, current.tls)) {
        current = found.success
        yield* Effect.logInfo("new files in force for TLS to backends", { ca: files.ca, cert: files.pair?.cert })
      }
      yield* tellExpiry(own())
    })

    yield* tellExpiry(own())
    yield* conditions.watch("certificate-expiring", () => own().some((each) => expiresSoon(each, now())))
    yield* conditions.watch("certificate-rejected", () => aside !== undefined)
    yield* collectors.add(ownCertificateMetric(() => current.own))
    yield* supervisor.supervise("backend-tls", Effect.forever(Effect.andThen(Effect.sleep(reloadMs), look)))
    return () => current.tls
  },
  Effect.annotateLogs({ service: "tls" })
)
