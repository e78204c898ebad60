import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { defaultText } from "../../src/config/Variable.ts"
import { fields, variableOf } from "../../src/config/variables.ts"

/** Every variable with its default as operators know it; `-` is none. */
const documented = `
  EDGEPROXY_LISTEN_ADDR 0.0.0.0:8080
  EDGEPROXY_APP -
  EDGEPROXY_REGION sa
  EDGEPROXY_POP_ID gru1
  EDGEPROXY_DB_PATH routing.db
  EDGEPROXY_DB_RELOAD_SECS 5
  EDGEPROXY_SNAPSHOT_PATH routing.db.snapshot
  EDGEPROXY_GEOIP_PATH -
  EDGEPROXY_GEO_OVERRIDES -
  EDGEPROXY_BINDING_TTL_SECS 600
  EDGEPROXY_BINDING_GC_INTERVAL_SECS 60
  EDGEPROXY_BINDING_MAX_CONNECTIONS 0
  EDGEPROXY_SPILL_AT hard
  EDGEPROXY_BINDING_MAX 1000000
  DEBUG false
  EDGEPROXY_LOG_LEVEL info
  EDGEPROXY_LOG_FORMAT json
  EDGEPROXY_ACCESS_LOG stdout
  EDGEPROXY_TRANSPORT auto
  EDGEPROXY_TRANSPORT_THREADS auto
  EDGEPROXY_CONNECT_TIMEOUT_MS 3000
  EDGEPROXY_CONNECT_ATTEMPTS 3
  EDGEPROXY_PREROUTE_TIMEOUT_MS 5000
  EDGEPROXY_IDLE_TIMEOUT_SECS 3600
  EDGEPROXY_FIN_TIMEOUT_SECS 60
  EDGEPROXY_STALL_TIMEOUT_SECS 120
  EDGEPROXY_MAX_CONNECTION_SECS 0
  EDGEPROXY_TCP_KEEPALIVE_SECS 30
  EDGEPROXY_TCP_REUSE_PORT false
  EDGEPROXY_TCP_DEFER_ACCEPT_SECS 0
  EDGEPROXY_TCP_FAST_OPEN 0
  EDGEPROXY_MAX_CONNECTIONS auto
  EDGEPROXY_MAX_CONNECTIONS_PER_CLIENT 0
  EDGEPROXY_ALLOW_CIDRS -
  EDGEPROXY_DENY_CIDRS -
  EDGEPROXY_DENY_COUNTRIES -
  EDGEPROXY_PROXY_PROTOCOL_IN off
  EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS -
  EDGEPROXY_OVERLOAD_LOOP_DELAY_MS 200
  EDGEPROXY_OVERLOAD_MEMORY 0.9
  EDGEPROXY_PROXY_PROTOCOL_OUT off
  EDGEPROXY_SHUTDOWN_TIMEOUT_SECS 30
  EDGEPROXY_SHUTDOWN_PACE_SECS 0
  EDGEPROXY_SHUTDOWN_GRACE_SECS 0
  EDGEPROXY_TLS_ENABLED false
  EDGEPROXY_TLS_LISTEN_ADDR 0.0.0.0:8443
  EDGEPROXY_TLS_CERT -
  EDGEPROXY_TLS_KEY -
  EDGEPROXY_TLS_CERT_DIR -
  EDGEPROXY_TLS_RELOAD_SECS 30
  EDGEPROXY_TLS_MIN_VERSION 1.2
  EDGEPROXY_TLS_ALPN -
  EDGEPROXY_TLS_CLIENT_CA -
  EDGEPROXY_TLS_MODE terminate
  EDGEPROXY_TLS_SNI_ROUTES -
  EDGEPROXY_TLS_UNKNOWN_SNI default
  EDGEPROXY_TLS_MAX_HANDSHAKES 256
  EDGEPROXY_BACKEND_TLS off
  EDGEPROXY_BACKEND_TLS_CA -
  EDGEPROXY_BACKEND_TLS_CERT -
  EDGEPROXY_BACKEND_TLS_KEY -
  EDGEPROXY_BACKEND_TLS_SERVERNAME -
  EDGEPROXY_API_ENABLED true
  EDGEPROXY_API_LISTEN_ADDR 0.0.0.0:8081
  EDGEPROXY_API_TOKEN -
  EDGEPROXY_API_READ_TOKEN -
  EDGEPROXY_API_PUBLIC_READS false
  EDGEPROXY_HEARTBEAT_TTL_SECS 60
  EDGEPROXY_BACKEND_ALLOW_CIDRS 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,fc00::/7,::1/128
  EDGEPROXY_DASHBOARD_ENABLED true
  EDGEPROXY_CORROSION_ENABLED false
  EDGEPROXY_CORROSION_API_URL http://localhost:8090
  EDGEPROXY_CORROSION_POLL_SECS 5
  EDGEPROXY_CORROSION_TOKEN -
  EDGEPROXY_CORROSION_MODE subscribe
  EDGEPROXY_POSTGRES_ENABLED false
  EDGEPROXY_POSTGRES_URL -
  EDGEPROXY_POSTGRES_MAX_CONNECTIONS 10
  EDGEPROXY_POSTGRES_MIN_CONNECTIONS 2
  EDGEPROXY_POSTGRES_CONNECT_TIMEOUT_SECS 5
  EDGEPROXY_POSTGRES_QUERY_TIMEOUT_SECS 10
  EDGEPROXY_POSTGRES_RELOAD_SECS 5
  EDGEPROXY_TABLE_MAX_SHRINK 0.5
  EDGEPROXY_TABLE_HOLD_SECS 60
  EDGEPROXY_RATE_LIMIT_ENABLED false
  EDGEPROXY_RATE_LIMIT_MAX_REQUESTS 100
  EDGEPROXY_RATE_LIMIT_WINDOW_SECS 1
  EDGEPROXY_RATE_LIMIT_BURST 10
  EDGEPROXY_CIRCUIT_BREAKER_ENABLED false
  EDGEPROXY_CIRCUIT_FAILURE_THRESHOLD 5
  EDGEPROXY_CIRCUIT_SUCCESS_THRESHOLD 3
  EDGEPROXY_CIRCUIT_TIMEOUT_SECS 30
  EDGEPROXY_HEALTH_CHECK_ENABLED false
  EDGEPROXY_HEALTH_CHECK_INTERVAL_SECS 5
  EDGEPROXY_HEALTH_CHECK_TIMEOUT_SECS 2
  EDGEPROXY_HEALTH_CHECK_TYPE tcp
  EDGEPROXY_HEALTH_CHECK_PATH /health
  EDGEPROXY_HEALTH_CHECK_EXPECTED_STATUS 200
  EDGEPROXY_HEALTH_HEALTHY_THRESHOLD 2
  EDGEPROXY_HEALTH_UNHEALTHY_THRESHOLD 3
  EDGEPROXY_HEALTH_PANIC_THRESHOLD 0
  EDGEPROXY_SLOW_START_SECS 0
  EDGEPROXY_ON_BACKEND_DOWN keep
  EDGEPROXY_POOL_ENABLED false
  EDGEPROXY_POOL_MAX_PER_BACKEND 10
  EDGEPROXY_POOL_IDLE_TIMEOUT_SECS 60
  EDGEPROXY_POOL_MAX_LIFETIME_SECS 300
  EDGEPROXY_POOL_CONNECT_TIMEOUT_SECS 5
  EDGEPROXY_CONFIG_WATCH_ENABLED false
  EDGEPROXY_CONFIG_WATCH_INTERVAL_SECS 5
  EDGEPROXY_CONFIG_PATH /etc/edgeproxy/config.toml
  EDGEPROXY_METRICS_ENABLED false
  EDGEPROXY_METRICS_LISTEN_ADDR 0.0.0.0:9090
  EDGEPROXY_METRICS_PATH /metrics
  OTEL_EXPORTER_OTLP_ENDPOINT -
  OTEL_EXPORTER_OTLP_HEADERS -
  OTEL_SERVICE_NAME edgeproxy
  OTEL_RESOURCE_ATTRIBUTES -
  OTEL_TRACES_SAMPLER parentbased_always_on
  OTEL_TRACES_SAMPLER_ARG 1
  EDGEPROXY_TRACE_CLIENT_ADDRESS false
  EDGEPROXY_DNS_ENABLED false
  EDGEPROXY_DNS_LISTEN_ADDR 0.0.0.0:5353
  EDGEPROXY_DNS_DOMAIN internal
  EDGEPROXY_DNS_TTL_SECS 30
  EDGEPROXY_DNS_RATE_LIMIT 100
  EDGEPROXY_DNS_RESOLVERS -
  EDGEPROXY_POPS -
  EDGEPROXY_ANYCAST_ENABLED false
  EDGEPROXY_ANYCAST_BIRD_SOCKET /run/bird/bird.ctl
  EDGEPROXY_ANYCAST_PROTOCOL edgeproxy
  EDGEPROXY_ANYCAST_MIN_BACKENDS 1
  EDGEPROXY_ANYCAST_HOLD_SECS 10
  EDGEPROXY_ANYCAST_WITHDRAW_SECS 5
`
  .trim()
  .split("\n")
  .map((line) => line.trim().split(" "))
  .map(([name = "", text = ""]) => ({ name, text: text === "-" ? "" : text }))

const ambient = { env: {}, hostname: "gru1", terminal: false }

describe("variables", () => {
  it("are the documented ones, each once", () => {
    assert.deepStrictEqual(
      fields.map((field) => variableOf(field).name).sort(),
      documented.map(({ name }) => name).sort()
    )
  })

  it.each(documented)("$name is $text by default", ({ name, text }) => {
    const variable = fields.map(variableOf).find((variable) => variable.name === name)
    assert.isDefined(variable)
    const given = defaultText(variable, ambient)
    assert.strictEqual(given, text)
    const value = variable.decode(given, ambient)
    assert.isTrue(Result.isSuccess(value), `${Result.getFailure(value)}`)
    assert.strictEqual(variable.encode(Result.getOrThrow(value)), text)
  })

  it("have fields named after them, durations in milliseconds", () => {
    for (const field of fields) {
      const words = variableOf(field)
        .name.replace(/^EDGEPROXY_/, "")
        .replace(/_SECS$/, "_MS")
        .toLowerCase()
        .split("_")
      const camel = words.map((word, at) => (at === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1))).join("")
      assert.strictEqual(field, camel)
    }
  })

  it("are documented in one line each", () => {
    for (const { doc, name } of fields.map(variableOf)) {
      assert.match(doc, /^\S[^\n]+[^\s.]$/, name)
    }
  })

  it("may change live where that makes sense", () => {
    const live = fields.map(variableOf).filter((variable) => variable.reloadable)
    const failure = live.filter((variable) => variable.group === "Failure handling")
    assert.strictEqual(
      failure.length,
      documented.filter(({ name }) =>
        // Whether there is a file, and which, the file itself can't say.
        /_(RATE_LIMIT_(E|M|W|B)|CIRCUIT|HEALTH_|SLOW_START|ON_BACKEND|POOL|CONFIG_WATCH_I)/.test(name)
      ).length
    )
    assert.deepStrictEqual(
      live.filter((variable) => variable.group !== "Failure handling").map(({ name }) => name),
      [
        "EDGEPROXY_GEO_OVERRIDES",
        "EDGEPROXY_BINDING_MAX_CONNECTIONS",
        "EDGEPROXY_SPILL_AT",
        "EDGEPROXY_MAX_CONNECTIONS_PER_CLIENT",
        "EDGEPROXY_ALLOW_CIDRS",
        "EDGEPROXY_DENY_CIDRS",
        "EDGEPROXY_DENY_COUNTRIES",
        "EDGEPROXY_TABLE_MAX_SHRINK",
        "EDGEPROXY_TABLE_HOLD_SECS"
      ]
    )
  })

  it("are masked when they are secrets", () => {
    assert.deepStrictEqual(
      fields
        .map(variableOf)
        .filter((variable) => variable.secret)
        .map(({ name }) => name),
      [
        "EDGEPROXY_API_TOKEN",
        "EDGEPROXY_API_READ_TOKEN",
        "EDGEPROXY_CORROSION_TOKEN",
        "EDGEPROXY_POSTGRES_URL",
        "OTEL_EXPORTER_OTLP_HEADERS"
      ]
    )
  })
})
