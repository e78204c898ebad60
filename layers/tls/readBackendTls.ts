import * as Effect from "effect/Effect"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { CertificateError } from "./CertificateError.ts"
import { parseChain, readText } from "./readCertificate.ts"
import { readPair } from "./readCertificates.ts"

export interface BackendTlsFiles extends Pick<BackendTls, "verify" | "serverName"> {
  readonly ca: string | undefined
  readonly pair: { readonly cert: string; readonly key: string } | undefined
}

/** What TLS to backends needs of files; fails when one of them can't be used. */
export const readBackendTls = Effect.fnUntraced(function* ({ ca: path, pair, serverName, verify }: BackendTlsFiles) {
  const ca = path === undefined ? undefined : yield* readText(path)
  if (path !== undefined && ca !== undefined) yield* parseChain(path, ca)
  const own = pair === undefined ? undefined : yield* readPair(pair)
  const certificate = own === undefined ? undefined : { chain: own.chain, key: own.key }
  const found: BackendTls = { verify, serverName, ca, certificate }
  return found
}) satisfies (files: BackendTlsFiles) => Effect.Effect<BackendTls, CertificateError>
