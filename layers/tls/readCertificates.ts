import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Certificate } from "../../src/tls/Certificate.ts"
import { CertificateError } from "./CertificateError.ts"
import { parseChain, parsePair, readText } from "./readCertificate.ts"

/** Where certificates are. */
export interface CertificateFiles {
  readonly pair: { readonly cert: string; readonly key: string } | undefined
  readonly dir: string | undefined
  readonly clientCa: string | undefined
}

/** What was found: each certificate, or why it can't be used. */
export interface Found {
  readonly certificates: ReadonlyArray<Certificate>
  readonly bad: ReadonlyArray<CertificateError>
  readonly clientCa: string | undefined
}

const pairFiles = Effect.fnUntraced(function* ({ dir, pair }: CertificateFiles) {
  const single = pair === undefined ? [] : [pair]
  if (dir === undefined) return single
  const names = yield* Effect.tryPromise({
    try: () => readdir(dir),
    catch: (error) =>
      new CertificateError({ source: dir, reason: error instanceof Error ? error.message : String(error) })
  })
  const inDir = names
    .filter((name) => name.endsWith(".crt"))
    .sort()
    .map((name) => ({ cert: join(dir, name), key: join(dir, `${name.slice(0, -".crt".length)}.key`) }))
  return [...single, ...inDir]
})

/** One that is as it was is not looked at again: with a thousand of them that takes half a second. */
export const readPair = Effect.fnUntraced(function* (
  { cert, key }: { readonly cert: string; readonly key: string },
  known?: Certificate
) {
  const readKey = Effect.mapError(
    readText(key),
    ({ reason, source }) => new CertificateError({ source: cert, reason: `its key ${source}: ${reason}` })
  )
  const [chain, keyText, now] = [yield* readText(cert), yield* readKey, yield* Clock.currentTimeMillis]
  const isKnown = known?.chain === chain && known.key === keyText && known.notBefore <= now && now < known.notAfter
  return isKnown ? known : yield* parsePair(cert, chain, keyText, now)
})

/**
 * Reads all of them. A certificate that can't be used is no failure of the others; a directory or an authority that can't be
 * read is one of the whole.
 */
export const readCertificates = Effect.fnUntraced(function* (
  files: CertificateFiles,
  known: ReadonlyArray<Certificate> = []
) {
  const bySource = new Map(known.map((each) => [each.source, each]))
  const results = yield* Effect.forEach(yield* pairFiles(files), (each) =>
    Effect.result(readPair(each, bySource.get(each.cert)))
  )
  const { clientCa: path } = files
  const clientCa = path === undefined ? undefined : yield* readText(path)
  if (path !== undefined && clientCa !== undefined) yield* parseChain(path, clientCa)
  const found: Found = {
    certificates: results.flatMap((result) => (result._tag === "Success" ? [result.success] : [])),
    bad: results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : [])),
    clientCa
  }
  return found
})
