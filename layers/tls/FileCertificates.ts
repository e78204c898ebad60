import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { randomBytes } from "node:crypto"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { Collectors } from "../../src/observe/Collectors.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { type Certificate, chooser, expiresSoon } from "../../src/tls/Certificate.ts"
import { Certificates, type CertificateSet } from "../../src/tls/Certificates.ts"
import { certificateMetrics } from "../../src/tls/certificateMetrics.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import { CertificateError } from "./CertificateError.ts"
import * as expiryNotes from "./expiryNotes.ts"
import { type CertificateFiles, type Found, readCertificates } from "./readCertificates.ts"
import { selfSigned } from "./selfSigned.ts"

export interface FileCertificatesOptions extends CertificateFiles {
  readonly reloadMs: number
  readonly minVersion: ServerTls["minVersion"]
  readonly protocols: ReadonlyArray<string>
  readonly maxHandshakes: number
}

/** Tickets of the key before are worth a full handshake; who steals a key can read no more than this long. */
const TICKET_KEY_MS = 12 * 3_600_000
const TICKET_KEY_BYTES = 48

/**
 * Certificates from files, looked at again and again. What is new and can't be used (half-written, of another key, expired)
 * is left aside and told of once; what was in force stays. Whatever changes, connections that are open go on.
 */
export const layer = (
  options: FileCertificatesOptions
): Layer.Layer<Certificates, CertificateError, Collectors | Conditions | Supervisor> =>
  Layer.effect(Certificates, make(options))

const sameCertificates = (some: ReadonlyArray<Certificate>, others: ReadonlyArray<Certificate>): boolean =>
  some.length === others.length &&
  some.every(({ chain, key }, index) => chain === others[index]?.chain && key === others[index].key)

const make = Effect.fnUntraced(
  function* (options: FileCertificatesOptions) {
    const supervisor = yield* Supervisor
    const conditions = yield* Conditions
    const collectors = yield* Collectors
    const clock = yield* Clock.clockWith(Effect.succeed)
    const now = (): number => clock.currentTimeMillisUnsafe()
    const isSelfSigned = options.pair === undefined && options.dir === undefined
    const own = isSelfSigned ? selfSigned(now()) : undefined
    if (own !== undefined) {
      yield* Effect.logWarning("no certificate is configured: clients see a self-signed one that nobody can trust", {
        set: "EDGEPROXY_TLS_CERT and EDGEPROXY_TLS_KEY, or EDGEPROXY_TLS_CERT_DIR"
      })
    }
    let ticketKey = randomBytes(TICKET_KEY_BYTES)
    let ticketKeySince = now()
    /** By source: those that are left aside now, and why. */
    let aside = new Map<string, string>()

    const setOf = (certificates: ReadonlyArray<Certificate>, clientCa: string | undefined): CertificateSet => ({
      tls: {
        pairs: certificates.map(({ chain, key }) => ({ chain, key })),
        minVersion: options.minVersion,
        protocols: options.protocols,
        clientCa,
        ticketKey,
        maxHandshakes: options.maxHandshakes
      },
      certificates,
      pairOf: chooser(certificates)
    })

    /** Tells of what was left aside, each reason once. */
    const tellAside = Effect.fnUntraced(function* (bad: ReadonlyArray<CertificateError>) {
      const next = new Map(bad.map(({ reason, source }) => [source, reason]))
      for (const [source, reason] of next) {
        if (aside.get(source) !== reason) {
          yield* Effect.logError("a certificate can't be used and is left aside", { certificate: source, reason })
        }
      }
      aside = next
    })

    const tellExpiry = expiryNotes.make(now)

    const read = (known: ReadonlyArray<Certificate>) =>
      Effect.map(readCertificates(options, known), (found): Found =>
        own === undefined ? found : { ...found, certificates: [own], bad: [] }
      )
    const first = yield* read([])
    const [worst] = first.bad
    // The pair that was named has to be good; of a directory at least one has to be.
    const named = first.bad.find(({ source }) => source === options.pair?.cert)
    if (named !== undefined) return yield* named
    if (first.certificates.length === 0) {
      return yield* worst ?? new CertificateError({ source: options.dir ?? "", reason: "there is no name.crt in it" })
    }
    yield* tellAside(first.bad)
    yield* tellExpiry(first.certificates)
    let current = setOf(first.certificates, first.clientCa)
    const emptied = new CertificateError({
      source: options.dir ?? "",
      reason: "it has no certificate any more; the last ones stay in force until this process ends"
    })

    /** The pair that was named is the default, whatever else there is. */
    const place = ({ source }: Certificate): string => (source === options.pair?.cert ? "" : source)

    /** Those that are in force, with each one replaced that has a good successor; gone is what is gone from the disk. */
    const merged = ({ bad, certificates }: Found): ReadonlyArray<Certificate> => {
      const kept = current.certificates.filter(({ source }) => bad.some((error) => error.source === source))
      return [...certificates, ...kept].sort((one, other) => (place(one) < place(other) ? -1 : 1))
    }

    /** What can't be read as a whole changes nothing but what is told. */
    const keeping = (error: CertificateError): Found => ({
      certificates: [],
      bad: [error],
      clientCa: current.tls.clientCa
    })

    const look = Effect.gen(function* () {
      const found = yield* Effect.result(read(current.certificates))
      const { bad, clientCa } = Result.getOrElse(found, keeping)
      const certificates = Result.isSuccess(found) ? merged(found.success) : current.certificates
      // Somebody has to be shown something.
      const isEmpty = certificates.length === 0
      yield* tellAside(isEmpty ? [...bad, emptied] : bad)
      const next = isEmpty ? current.certificates : certificates
      const rotates = now() - ticketKeySince >= TICKET_KEY_MS
      if (rotates) {
        ticketKey = randomBytes(TICKET_KEY_BYTES)
        ticketKeySince = now()
      }
      const changed = !sameCertificates(next, current.certificates) || clientCa !== current.tls.clientCa
      if (changed || rotates) current = setOf(next, clientCa)
      if (changed) {
        yield* Effect.logInfo("certificates in force", { certificates: next.map(({ source }) => source) })
      }
      yield* tellExpiry(current.certificates)
    })

    yield* conditions.watch("certificate-expiring", () => current.certificates.some((each) => expiresSoon(each, now())))
    yield* conditions.watch("certificate-rejected", () => aside.size > 0)
    yield* collectors.add(
      certificateMetrics(
        () => current.certificates,
        () => aside.size
      )
    )
    yield* supervisor.supervise("certificates", Effect.forever(Effect.andThen(Effect.sleep(options.reloadMs), look)))
    return Certificates.of({ current: () => current })
  },
  Effect.annotateLogs({ service: "tls" })
)
