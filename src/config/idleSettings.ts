import type { Source } from "./load.ts"
import { type ConfigValues, type Field, variableOf } from "./variables.ts"

type Idle = readonly [fields: ReadonlyArray<Field>, isIdle: (config: ConfigValues) => boolean, why: string]

/** Settings that somebody may rely on while others leave them without effect. */
const idle: ReadonlyArray<Idle> = [
  [
    ["tlsCert", "tlsCertDir", "tlsClientCa", "tlsSniRoutes"],
    ({ tlsEnabled }) => !tlsEnabled,
    "without EDGEPROXY_TLS_ENABLED"
  ],
  [
    ["backendTlsCa", "backendTlsCert", "backendTlsServername"],
    ({ backendTls }) => backendTls === "off",
    "while EDGEPROXY_BACKEND_TLS is off: backends are spoken to in clear"
  ],
  [
    ["backendTlsCa"],
    ({ backendTls }) => backendTls === "on",
    "with EDGEPROXY_BACKEND_TLS=on, which verifies nothing: set it to verify"
  ],
  [
    ["proxyProtocolTrustedCidrs"],
    ({ proxyProtocolIn }) => proxyProtocolIn === "off",
    "while EDGEPROXY_PROXY_PROTOCOL_IN is off"
  ],
  [
    ["poolEnabled"],
    // What is passed through is carried as it is.
    ({ backendTls, poolEnabled, tlsEnabled, tlsMode }) =>
      poolEnabled && backendTls !== "off" && !(tlsEnabled && tlsMode === "passthrough"),
    "with EDGEPROXY_BACKEND_TLS: no connection with TLS is opened ahead"
  ]
]

/** A warning for each of them that was set. */
export const idleSettings = (config: ConfigValues, sources: Readonly<Record<Field, Source>>): ReadonlyArray<string> =>
  idle.flatMap(([fields, isIdle, why]) =>
    isIdle(config)
      ? fields
          .filter((field) => sources[field] !== "default")
          .map((field) => `${variableOf(field).name} has no effect ${why}`)
      : []
  )
