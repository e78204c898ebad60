import { type Endpoint, endpoint } from "./networks.ts"
import { type ConfigValues, type Field, variables } from "./variables.ts"

/** A value that is fine alone but not with the others: the field to blame and what is allowed. */
export interface Conflict {
  readonly field: Field
  readonly allowed: string
}

type Check = (values: Partial<ConfigValues>) => Conflict | undefined

/** A check over some fields, left out when one of them did not decode. */
const check =
  <const F extends Field>(
    needed: ReadonlyArray<F>,
    test: (values: Pick<ConfigValues, F>) => Conflict | undefined
  ): Check =>
  (values) =>
    // The cast is what `every` has found out.
    needed.every((field) => field in values) ? test(values as Pick<ConfigValues, F>) : undefined

const conflict = (when: boolean, field: Field, allowed: string): Conflict | undefined =>
  when ? { field, allowed } : undefined

const bothOrNeither = (certificate: "tlsCert" | "backendTlsCert", key: "tlsKey" | "backendTlsKey"): Check =>
  check([certificate, key], (values) => {
    const names = `${variables[certificate].name} and ${variables[key].name} both, or neither`
    return (
      conflict(values[certificate] === undefined && values[key] !== undefined, certificate, names) ??
      conflict(values[certificate] !== undefined && values[key] === undefined, key, names)
    )
  })

type ListenField = "listenAddr" | "tlsListenAddr" | "apiListenAddr" | "metricsListenAddr" | "dnsListenAddr"
type EnabledField = "tlsEnabled" | "apiEnabled" | "metricsEnabled" | "dnsEnabled"

/** Every TCP listener, and what has to be on for it to be opened. */
const listeners: ReadonlyArray<readonly [ListenField, EnabledField | undefined]> = [
  ["listenAddr", undefined],
  ["tlsListenAddr", "tlsEnabled"],
  ["apiListenAddr", "apiEnabled"],
  ["metricsListenAddr", "metricsEnabled"],
  ["dnsListenAddr", "dnsEnabled"]
]

/** Listeners for clients: of these an IPv6 wildcard leaves IPv4 alone where another one has the port. */
const forClients: ReadonlySet<ListenField> = new Set(["listenAddr", "tlsListenAddr"])

interface Opened extends Endpoint {
  readonly field: ListenField
}

const isSix = ({ address }: Endpoint): boolean => address.includes(":")
const isWildcard = ({ address }: Endpoint): boolean => address === "0.0.0.0" || address === "::"

/** Both can't be had. Port 0 is another port each time. */
const clash = (one: Opened, other: Opened, reusePort: boolean): boolean => {
  if (one.port !== other.port || one.port === 0) return false
  const alike = forClients.has(one.field) && forClients.has(other.field)
  if (isSix(one) !== isSix(other)) return !alike && (one.address === "::" || other.address === "::")
  if (one.address === other.address) return true
  return (isWildcard(one) || isWildcard(other)) && !(alike && reusePort)
}

/** No address twice among the listeners that this release opens, be it that a wildcard has it too. */
const distinctListeners: Check = (values) => {
  const seen: Array<Opened> = []
  for (const [field, enabled] of listeners) {
    const opened = enabled === undefined || values[enabled] === true
    const value: Endpoint | ReadonlyArray<Endpoint> | undefined = opened ? values[field] : undefined
    if (value === undefined) continue
    for (const { address, port } of "port" in value ? [value] : value) {
      const next: Opened = { field, address, port }
      const text = endpoint.encode(next)
      const rival = seen.find((each) => clash(each, next, values.tcpReusePort === true))
      if (rival?.address === address) return { field, allowed: `every listener once; ${text} is there twice` }
      if (rival !== undefined) {
        return {
          field,
          allowed: `every listener on a port of its own; ${text} is taken by ${endpoint.encode(rival)} too`
        }
      }
      seen.push(next)
    }
  }
  return undefined
}

/** Of a name's 253 characters, some are for the longest label and the one between (N1). */
const MAX_ZONE_LENGTH = 176

const checks: ReadonlyArray<Check> = [
  distinctListeners,
  bothOrNeither("tlsCert", "tlsKey"),
  bothOrNeither("backendTlsCert", "backendTlsKey"),
  check(["tlsEnabled", "tlsMode", "tlsClientCa"], (values) =>
    conflict(
      values.tlsEnabled && values.tlsMode === "passthrough" && values.tlsClientCa !== undefined,
      "tlsClientCa",
      "nothing with EDGEPROXY_TLS_MODE=passthrough, where nobody but the backends can ask for certificates"
    )
  ),
  check(["corrosionEnabled", "postgresEnabled"], (values) =>
    conflict(
      values.corrosionEnabled && values.postgresEnabled,
      "postgresEnabled",
      "at most one of EDGEPROXY_CORROSION_ENABLED and EDGEPROXY_POSTGRES_ENABLED"
    )
  ),
  check(["postgresEnabled", "postgresUrl"], (values) =>
    conflict(
      values.postgresEnabled && values.postgresUrl === undefined,
      "postgresUrl",
      "a connection URL, which EDGEPROXY_POSTGRES_ENABLED requires"
    )
  ),
  check(["proxyProtocolIn", "proxyProtocolTrustedCidrs"], (values) =>
    conflict(
      values.proxyProtocolIn !== "off" && values.proxyProtocolTrustedCidrs.length === 0,
      "proxyProtocolTrustedCidrs",
      "at least one network, which EDGEPROXY_PROXY_PROTOCOL_IN requires"
    )
  ),
  check(["accessLog", "otelExporterOtlpEndpoint"], (values) =>
    conflict(
      values.accessLog === "otlp" && values.otelExporterOtlpEndpoint === undefined,
      "otelExporterOtlpEndpoint",
      "the URL of a collector, which EDGEPROXY_ACCESS_LOG=otlp requires"
    )
  ),
  check(["dnsEnabled", "dnsDomain"], (values) =>
    conflict(
      values.dnsEnabled && values.dnsDomain.length > MAX_ZONE_LENGTH,
      "dnsDomain",
      `a DNS name of at most ${MAX_ZONE_LENGTH} characters, so that there is room for names below it`
    )
  ),
  check(["poolEnabled", "proxyProtocolOut"], (values) =>
    conflict(
      values.poolEnabled && values.proxyProtocolOut !== "off",
      "poolEnabled",
      "false with EDGEPROXY_PROXY_PROTOCOL_OUT: a backend that waits for a header closes what is opened ahead"
    )
  ),
  check(["shutdownPaceMs", "shutdownTimeoutMs"], (values) =>
    conflict(
      values.shutdownPaceMs > values.shutdownTimeoutMs,
      "shutdownPaceMs",
      "at most EDGEPROXY_SHUTDOWN_TIMEOUT_SECS, in whose last seconds it falls"
    )
  ),
  check(["shutdownGraceMs", "shutdownPaceMs", "shutdownTimeoutMs"], (values) =>
    conflict(
      values.shutdownGraceMs <= values.shutdownTimeoutMs &&
        values.shutdownPaceMs <= values.shutdownTimeoutMs &&
        values.shutdownGraceMs + values.shutdownPaceMs > values.shutdownTimeoutMs,
      "shutdownPaceMs",
      "at most what EDGEPROXY_SHUTDOWN_GRACE_SECS leaves of EDGEPROXY_SHUTDOWN_TIMEOUT_SECS"
    )
  ),
  check(["shutdownGraceMs", "shutdownTimeoutMs"], (values) =>
    conflict(
      values.shutdownGraceMs > values.shutdownTimeoutMs,
      "shutdownGraceMs",
      "at most EDGEPROXY_SHUTDOWN_TIMEOUT_SECS, which begins with it"
    )
  )
]

/** What the values contradict each other in. Fields that did not decode are absent and not held against anyone. */
export const conflicts = (values: Partial<ConfigValues>): ReadonlyArray<Conflict> =>
  checks.flatMap((check) => check(values) ?? [])
