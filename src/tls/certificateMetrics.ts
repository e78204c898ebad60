import * as Effect from "effect/Effect"
import { type Collector, gauge, noLabels } from "../observe/Metric.ts"
import type { Certificate } from "./Certificate.ts"

const notAfter = gauge(
  "edgeproxy_tls_certificate_not_after_timestamp_seconds",
  "When a certificate that is in force ends, in seconds since 1970."
)
const rejected = gauge(
  "edgeproxy_tls_certificates_rejected",
  "Certificates that can't be used and are left aside; what was in force before stays."
)

export const certificateMetrics = (certificates: () => ReadonlyArray<Certificate>, aside: () => number): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      for (const each of certificates()) sink.sample(notAfter, { certificate: each.source }, each.notAfter / 1_000)
      sink.sample(rejected, noLabels, aside())
    })
})

const ownNotAfter = gauge(
  "edgeproxy_backend_tls_certificate_not_after_timestamp_seconds",
  "When the certificate that backends are shown ends, in seconds since 1970."
)

/** Of the certificate that the proxy shows to backends, if there is one. */
export const ownCertificateMetric = (own: () => Certificate | undefined): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      const certificate = own()
      if (certificate === undefined) return
      sink.sample(ownNotAfter, { certificate: certificate.source }, certificate.notAfter / 1_000)
    })
})
