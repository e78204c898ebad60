import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { configurationMarkdown, effectiveLines } from "../../src/config/describe.ts"
import { load, type Loaded } from "../../src/config/load.ts"
import { type Field, fields, variableOf } from "../../src/config/variables.ts"

/** A text for every variable that differs from its default, none in its canonical form where there is another. */
const examples: Readonly<Record<Field, string>> = {
  listenAddr: "0.0.0.0:8080, [0::0]:5432=pg",
  app: "shop",
  region: "auto",
  popId: "gru-2",
  dbPath: "/var/lib/edge proxy/routing.db",
  dbReloadMs: ".50",
  snapshotPath: "",
  geoipPath: "/geo  # not a comment.mmdb",
  geoOverrides: "127.0.1.0/24=br, 10.9.0.0/16=DE",
  bindingTtlMs: "0",
  bindingGcIntervalMs: "60.001",
  bindingMaxConnections: "0500",
  bindingMax: "10",
  spillAt: "SOFT",
  debug: "on",
  logLevel: "Fatal",
  logFormat: "pretty",
  accessLog: "/var/log/edge=proxy.log",
  transport: "node",
  transportThreads: "2",
  connectTimeoutMs: "1500.4",
  connectAttempts: "1",
  prerouteTimeoutMs: "2147483000",
  idleTimeoutMs: "2147483",
  finTimeoutMs: "0.001",
  stallTimeoutMs: "119.999",
  maxConnectionMs: "86400",
  tcpKeepaliveMs: "1.5",
  tcpReusePort: "true",
  tcpDeferAcceptMs: "3",
  tcpFastOpen: "256",
  maxConnections: "10000000",
  maxConnectionsPerClient: "7",
  allowCidrs: "0.0.0.0/0,::/0",
  denyCidrs: "192.0.2.1",
  denyCountries: "aq, bv",
  proxyProtocolIn: "required",
  proxyProtocolTrustedCidrs: "10.0.0.0/8",
  overloadLoopDelayMs: "50",
  overloadMemory: "0.000001",
  proxyProtocolOut: "v2",
  shutdownTimeoutMs: "9",
  shutdownPaceMs: "0.1",
  shutdownGraceMs: "5",
  tlsEnabled: "1",
  tlsListenAddr: "[::]:8443=web",
  tlsCert: "c.pem",
  tlsKey: "k.pem",
  tlsCertDir: "certs",
  tlsReloadMs: "1",
  tlsMinVersion: "1.3",
  tlsAlpn: "h2, http/1.1",
  tlsClientCa: "ca.pem",
  tlsMode: "terminate",
  tlsSniRoutes: "DB.example.com=pg,*.shop.example.com=shop",
  tlsUnknownSni: "refuse",
  tlsMaxHandshakes: "1",
  backendTls: "verify",
  backendTlsCa: "ca.pem",
  backendTlsCert: "c.pem",
  backendTlsKey: "k.pem",
  backendTlsServername: "Backend.Internal.",
  apiEnabled: "off",
  apiListenAddr: "127.0.0.1:0",
  apiToken: "hunter2",
  apiReadToken: "hunter2",
  apiPublicReads: "yes",
  heartbeatTtlMs: "10",
  backendAllowCidrs: "10.1.0.0/16",
  dashboardEnabled: "no",
  corrosionEnabled: "no",
  corrosionApiUrl: "https://corrosion.internal:8090/v1",
  corrosionPollMs: "1",
  corrosionToken: "hunter2",
  corrosionMode: "poll",
  postgresEnabled: "yes",
  postgresUrl: "postgres://user:hunter2@host/db",
  postgresMaxConnections: "20",
  postgresMinConnections: "0",
  postgresConnectTimeoutMs: "1",
  postgresQueryTimeoutMs: "1",
  postgresReloadMs: "1",
  tableMaxShrink: "1",
  tableHoldMs: "0",
  rateLimitEnabled: "yes",
  rateLimitMaxRequests: "1",
  rateLimitWindowMs: "0.5",
  rateLimitBurst: "1",
  circuitBreakerEnabled: "yes",
  circuitFailureThreshold: "1",
  circuitSuccessThreshold: "1",
  circuitTimeoutMs: "1",
  healthCheckEnabled: "yes",
  healthCheckIntervalMs: "1",
  healthCheckTimeoutMs: "1",
  healthCheckType: "http",
  healthCheckPath: "/ok?x=1",
  healthCheckExpectedStatus: "204",
  healthHealthyThreshold: "1",
  healthUnhealthyThreshold: "1",
  healthPanicThreshold: "0.333333",
  slowStartMs: "30",
  onBackendDown: "close",
  poolEnabled: "no",
  poolMaxPerBackend: "1",
  poolIdleTimeoutMs: "1",
  poolMaxLifetimeMs: "1",
  poolConnectTimeoutMs: "1",
  configWatchEnabled: "yes",
  configWatchIntervalMs: "1",
  configPath: "./edgeproxy.toml",
  metricsEnabled: "yes",
  metricsListenAddr: "[::1]:9090",
  metricsPath: "/",
  otelExporterOtlpEndpoint: "http://collector:4318",
  otelExporterOtlpHeaders: "authorization=hunter2",
  otelServiceName: "edge",
  otelResourceAttributes: "team=net%2Fops,tier=1",
  otelTracesSampler: "traceidratio",
  otelTracesSamplerArg: "0.01",
  traceClientAddress: "yes",
  dnsEnabled: "yes",
  dnsListenAddr: "[::]:53",
  dnsDomain: "edge.internal",
  dnsTtlMs: "1",
  dnsRateLimit: "1",
  dnsResolvers: "10.0.0.53:53, [fd00::53]:5353",
  pops: "sa=203.0.113.1|2001:0db8::1,us=198.51.100.1",
  anycastEnabled: "yes",
  anycastBirdSocket: "/tmp/bird.ctl",
  anycastProtocol: "edge",
  anycastMinBackends: "2",
  anycastHoldMs: "1",
  anycastWithdrawMs: "1"
}

const fromEnv = (env: Readonly<Record<string, string>>): Loaded =>
  Result.getOrThrow(load({ env: { ...env, FLY_REGION: "nrt" }, hostname: "gru1" }))

const everything = fromEnv(Object.fromEntries(fields.map((field) => [variableOf(field).name, examples[field]])))

const parse = (lines: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    lines.map((line) => {
      const match = /^(\w+)=(.*) {2}# (default|environment|file)$/.exec(line)
      assert.isNotNull(match, line)
      return [match[1] ?? "", match[2] ?? ""]
    })
  )

describe("effectiveLines", () => {
  it("are taken back by the parser, whatever is set", () => {
    const lines = effectiveLines(everything)
    const secrets = fields.filter((field) => variableOf(field).secret)
    const restored = Object.fromEntries(secrets.map((field) => [variableOf(field).name, examples[field]]))
    const again = fromEnv({ ...parse(lines), ...restored })
    assert.deepStrictEqual(effectiveLines(again), lines)
    for (const field of fields) {
      if (variableOf(field).secret) continue
      assert.deepStrictEqual(again.config[field], everything.config[field], field)
    }
  })

  it("are taken back by the parser, when nothing is set", () => {
    const defaults = fromEnv({})
    assert.deepStrictEqual(fromEnv(parse(effectiveLines(defaults))).config, defaults.config)
  })

  it("tell the source of each value", () => {
    const lines = effectiveLines(fromEnv({ EDGEPROXY_REGION: "auto", EDGEPROXY_DB_RELOAD_SECS: "1.50" }))
    assert.include(lines, "EDGEPROXY_REGION=ap  # environment")
    assert.include(lines, "EDGEPROXY_DB_RELOAD_SECS=1.5  # environment")
    assert.include(lines, "EDGEPROXY_POP_ID=gru1  # default")
    assert.include(lines, "EDGEPROXY_API_TOKEN=  # default")
    assert.strictEqual(lines.length, fields.length)
  })

  it("mask secrets", () => {
    const text = effectiveLines(everything).join("\n")
    assert.notInclude(text, "hunter2")
    assert.include(text, "EDGEPROXY_API_TOKEN=***  # environment")
    assert.include(text, "EDGEPROXY_POSTGRES_URL=***  # environment")
  })
})

describe("examples", () => {
  it("differ from the defaults, so that the round trip means something", () => {
    const defaults = fromEnv({})
    const same = fields.filter((field) => {
      const variable = variableOf(field)
      return variable.encode(defaults.config[field]) === variable.encode(everything.config[field])
    })
    // Two sources, a warm pool with PROXY headers, and client certificates with passthrough contradict each other.
    assert.deepStrictEqual(same, ["tlsMode", "corrosionEnabled", "poolEnabled"])
  })
})

describe("configurationMarkdown", () => {
  const lines = configurationMarkdown().split("\n")
  const row = (name: string) => lines.filter((line) => line.startsWith(`| \`${name}\` |`))

  it("has every variable in one row of four cells, under its group", () => {
    for (const field of fields) {
      const { group, name } = variableOf(field)
      const [line, ...more] = row(name)
      assert.deepStrictEqual(more, [])
      assert.isDefined(line, name)
      assert.strictEqual(line.match(/(?<!\\)\|/g)?.length, 5, line)
      const above = lines.slice(0, lines.indexOf(line)).findLast((line) => line.startsWith("### "))
      assert.strictEqual(above, `### ${group}`)
    }
    assert.strictEqual(lines.filter((line) => line.startsWith("### ")).length, 8)
  })

  it("shows defaults and what changes live", () => {
    assert.match(row("EDGEPROXY_LISTEN_ADDR").join(), /\| `0\.0\.0\.0:8080` \|  \|/)
    assert.match(row("EDGEPROXY_POP_ID").join(), /\| host name \|  \|/)
    assert.match(row("EDGEPROXY_APP").join(), /\| \*\(none\)\* \|  \|/)
    assert.match(row("EDGEPROXY_SPILL_AT").join(), /\| R \|/)
    assert.match(row("EDGEPROXY_API_TOKEN").join(), /\(secret\) \|$/)
  })
})
