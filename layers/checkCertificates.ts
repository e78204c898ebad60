import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ConfigValues } from "../src/config/variables.ts"
import type { Finding } from "../src/cli/Findings.ts"
import { type Certificate, expiryWarning } from "../src/tls/Certificate.ts"
import { backendTlsFiles, certificateOptions } from "./certificates.ts"
import { readBackendTls } from "./tls/readBackendTls.ts"
import { readCertificates } from "./tls/readCertificates.ts"

const finding =
  (level: Finding["level"]) =>
  (detail: string): Finding => ({ level, about: "certificates", detail })
const ok = finding("ok")
const warn = finding("warn")
const error = finding("error")

const describe = ({ names, notAfter, source }: Certificate, now: number): Finding => {
  const text = `${source}: ${names.join(", ") || "no name"}, until ${new Date(notAfter).toISOString()}`
  const days = expiryWarning(notAfter, now)
  return days === undefined ? ok(text) : warn(`${text}, which is within ${days} ${days === 1 ? "day" : "days"}`)
}

const toClients = Effect.fnUntraced(function* (config: ConfigValues) {
  if (!config.tlsEnabled || config.tlsMode !== "terminate") return []
  const options = certificateOptions(config)
  const now = yield* Clock.currentTimeMillis
  const { bad, certificates } = yield* readCertificates(options)
  const found = [...certificates.map((each) => describe(each, now)), ...bad.map(({ message }) => error(message))]
  if (options.clientCa !== undefined) found.push(ok(`clients show a certificate of ${options.clientCa}`))
  if (found.length > 0) return found
  if (options.dir !== undefined) return [error(`${options.dir}: there is no name.crt in it`)]
  return [warn("none is given: clients will see a self-signed one")]
})

const toBackends = Effect.fnUntraced(function* (config: ConfigValues) {
  if (config.backendTls === "off") return []
  const files = backendTlsFiles(config)
  yield* readBackendTls(files)
  const parts = [files.ca, files.pair?.cert].filter((path) => path !== undefined)
  return [ok(`to backends: ${config.backendTls}${parts.length === 0 ? "" : `, with ${parts.join(" and ")}`}`)]
})

/** What `edgeproxy check` has to say of TLS: every file is read as the proxy reads it. */
export const checkCertificates = (config: ConfigValues) =>
  Effect.forEach([toClients(config), toBackends(config)], (part) =>
    part.pipe(Effect.catch(({ message }) => Effect.succeed([error(message)])))
  ).pipe(Effect.map((found) => found.flat()))
