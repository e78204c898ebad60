import * as Effect from "effect/Effect"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { createSecureContext } from "node:tls"
import type { Certificate } from "../../src/tls/Certificate.ts"
import { CertificateError } from "./CertificateError.ts"

const blocks = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** A file as text; what is wrong with it is an error that names it. */
export const readText = (path: string): Effect.Effect<string, CertificateError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (error) => new CertificateError({ source: path, reason: wordsOf(error) })
  })

// OpenSSL's words say where in the text something is wrong, and never what the text is.
const wordsOf = (error: unknown): string =>
  error instanceof Error
    ? "code" in error && error.code === "ENOENT"
      ? "there is no such file"
      : (error.message.split("\n", 1)[0] ?? "unreadable")
    : String(error)

/** DNS names of the subject, or the common name of the old kind of certificate that has none. */
const namesOf = (certificate: X509Certificate): ReadonlyArray<string> => {
  const alternatives = certificate.subjectAltName
  const names =
    alternatives === undefined
      ? [/(?:^|\n)CN=(.+)/.exec(certificate.subject)?.[1] ?? ""]
      : alternatives.split(", ").flatMap((name) => (name.startsWith("DNS:") ? [name.slice(4)] : []))
  return names.map((name) => name.toLowerCase().replace(/\.$/, "")).filter((name) => name !== "")
}

/** Every certificate of a PEM text, the end's first. */
export const parseChain = (
  source: string,
  text: string
): Effect.Effect<ReadonlyArray<X509Certificate>, CertificateError> =>
  Effect.try({
    try: () => {
      const found = text.match(blocks)
      if (found === null) throw new Error("there is no certificate in it (PEM)")
      return found.map((block) => new X509Certificate(block))
    },
    catch: (error) => new CertificateError({ source, reason: wordsOf(error) })
  })

/**
 * A certificate and its key, with everything looked at that would make a handshake fail: that both can be read, belong
 * together, are strong enough for OpenSSL, and hold now.
 */
export const parsePair = Effect.fnUntraced(function* (source: string, chain: string, key: string, now: number) {
  const [leaf] = yield* parseChain(source, chain)
  const fail = (reason: string): CertificateError => new CertificateError({ source, reason })
  if (leaf === undefined) return yield* fail("there is no certificate in it (PEM)")
  const privateKey = yield* Effect.try({
    try: () => createPrivateKey(key),
    catch: () => fail("its private key can't be read (PEM, without a passphrase)")
  })
  if (!leaf.checkPrivateKey(privateKey)) return yield* fail("the private key belongs to another certificate")
  yield* Effect.try({
    try: () => createSecureContext({ cert: chain, key }),
    catch: (error) => fail(wordsOf(error))
  })
  const certificate: Certificate = {
    source,
    chain,
    key,
    names: namesOf(leaf),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo)
  }
  if (Number.isNaN(certificate.notBefore + certificate.notAfter)) return yield* fail("its validity can't be read")
  if (certificate.notAfter <= now) return yield* fail(`expired at ${leaf.validTo}`)
  if (certificate.notBefore > now) return yield* fail(`not valid before ${leaf.validFrom}`)
  return certificate
})
