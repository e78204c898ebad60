import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigValues } from "../src/config/variables.ts"
import { Certificates } from "../src/tls/Certificates.ts"
import type { BackendTlsFiles } from "./tls/readBackendTls.ts"

/** Certificates of the TLS listeners, if any ends TLS; what reads them is loaded only then. */
export const certificates = (config: ConfigValues) =>
  config.tlsEnabled && config.tlsMode === "terminate"
    ? Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./tls/FileCertificates.ts")),
          ({ layer }) => layer(certificateOptions(config))
        )
      )
    : Certificates.layerOff

/** TLS to backends as it is at the moment, if they speak it. */
export const backendTls = Effect.fnUntraced(function* (config: ConfigValues) {
  if (config.backendTls === "off") return undefined
  const { make } = yield* Effect.promise(() => import("./tls/FileBackendTls.ts"))
  return yield* make(backendTlsFiles(config), config.tlsReloadMs)
})

export const backendTlsFiles = (config: ConfigValues): BackendTlsFiles => {
  const { backendTlsCert: cert, backendTlsKey: key } = config
  return {
    verify: config.backendTls === "verify",
    ca: config.backendTlsCa,
    pair: cert === undefined || key === undefined ? undefined : { cert, key },
    serverName: config.backendTlsServername
  }
}

export const certificateOptions = (config: ConfigValues) => {
  const { tlsCert: cert, tlsKey: key } = config
  return {
    pair: cert === undefined || key === undefined ? undefined : { cert, key },
    dir: config.tlsCertDir,
    clientCa: config.tlsClientCa,
    reloadMs: config.tlsReloadMs,
    minVersion: config.tlsMinVersion,
    protocols: config.tlsAlpn,
    maxHandshakes: config.tlsMaxHandshakes
  }
}
