import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigValues } from "../src/config/variables.ts"
import { Certificates } from "../src/tls/Certificates.ts"

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
