import * as Effect from "effect/Effect"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { Certificate } from "../../src/tls/Certificate.ts"
import { trustedByDefault } from "./authorities.ts"
import type { CertificateError } from "./CertificateError.ts"
import { parseChain, readText } from "./readCertificate.ts"
import { readPair } from "./readCertificates.ts"

export interface BackendTlsFiles extends Pick<BackendTls, "verify" | "serverName"> {
  readonly ca: string | undefined
  readonly pair: { readonly cert: string; readonly key: string } | undefined
}

/** What TLS to backends needs of files. */
export interface BackendTlsFound {
  readonly tls: BackendTls
  /** The one that is shown to backends. */
  readonly own: Certificate | undefined
}

/** Fails when one of the files can't be used. */
export const readBackendTls = Effect.fnUntraced(function* ({ ca: path, pair, serverName, verify }: BackendTlsFiles) {
  const named = path === undefined ? undefined : yield* readText(path)
  if (path !== undefined && named !== undefined) yield* parseChain(path, named)
  const own = pair === undefined ? undefined : yield* readPair(pair)
  const certificate = own === undefined ? undefined : { chain: own.chain, key: own.key }
  const ca = named ?? (verify ? trustedByDefault() : undefined)
  const found: BackendTlsFound = { tls: { verify, serverName, ca, certificate }, own }
  return found
}) satisfies (files: BackendTlsFiles) => Effect.Effect<BackendTlsFound, CertificateError>
