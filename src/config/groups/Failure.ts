import { boolean, integer, literals, ratio, seconds } from "../scalars.ts"
import { path, urlPath } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const inFailure = () => inGroup("Failure handling", { reloadable: true })

const rateLimit = inFailure()
const circuit = inFailure()
const health = inFailure()
const slowStart = inFailure()
const pool = inFailure()
const configFile = inGroup("Failure handling")

const threshold = integer({ minimum: 1, maximum: 1_000 })

export const failure = {
  rateLimitEnabled: rateLimit(boolean, {
    name: "EDGEPROXY_RATE_LIMIT_ENABLED",
    default: "false",
    doc: "Limits the new connections per client"
  }),
  rateLimitMaxRequests: rateLimit(integer({ minimum: 1, maximum: 1_000_000 }), {
    name: "EDGEPROXY_RATE_LIMIT_MAX_REQUESTS",
    default: "100",
    doc: "New connections per window"
  }),
  rateLimitWindowMs: rateLimit(seconds(), {
    name: "EDGEPROXY_RATE_LIMIT_WINDOW_SECS",
    default: "1",
    doc: "The window"
  }),
  rateLimitBurst: rateLimit(integer({ minimum: 1, maximum: 1_000_000 }), {
    name: "EDGEPROXY_RATE_LIMIT_BURST",
    default: "10",
    doc: "New connections a client may open at once"
  }),
  circuitBreakerEnabled: circuit(boolean, {
    name: "EDGEPROXY_CIRCUIT_BREAKER_ENABLED",
    default: "false",
    doc: "Takes a backend out after consecutive failures"
  }),
  circuitFailureThreshold: circuit(threshold, {
    name: "EDGEPROXY_CIRCUIT_FAILURE_THRESHOLD",
    default: "5",
    doc: "Consecutive failures that open the circuit"
  }),
  circuitSuccessThreshold: circuit(threshold, {
    name: "EDGEPROXY_CIRCUIT_SUCCESS_THRESHOLD",
    default: "3",
    doc: "Successes on trial that close it, and connections on trial at once"
  }),
  circuitTimeoutMs: circuit(seconds(), {
    name: "EDGEPROXY_CIRCUIT_TIMEOUT_SECS",
    default: "30",
    doc: "From open to the trial"
  }),
  healthCheckEnabled: health(boolean, {
    name: "EDGEPROXY_HEALTH_CHECK_ENABLED",
    default: "false",
    doc: "Active checks of every backend"
  }),
  healthCheckIntervalMs: health(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_HEALTH_CHECK_INTERVAL_SECS",
    default: "5",
    doc: "Time between two checks of a backend"
  }),
  healthCheckTimeoutMs: health(seconds(), {
    name: "EDGEPROXY_HEALTH_CHECK_TIMEOUT_SECS",
    default: "2",
    doc: "Deadline of a check"
  }),
  healthCheckType: health(literals(["tcp", "http"]), {
    name: "EDGEPROXY_HEALTH_CHECK_TYPE",
    default: "tcp",
    doc: "`tcp` connects, `http` sends a GET"
  }),
  healthCheckPath: health(urlPath, {
    name: "EDGEPROXY_HEALTH_CHECK_PATH",
    default: "/health",
    doc: "Path of the GET"
  }),
  healthCheckExpectedStatus: health(integer({ minimum: 100, maximum: 599 }), {
    name: "EDGEPROXY_HEALTH_CHECK_EXPECTED_STATUS",
    default: "200",
    doc: "HTTP status of a healthy backend"
  }),
  healthHealthyThreshold: health(threshold, {
    name: "EDGEPROXY_HEALTH_HEALTHY_THRESHOLD",
    default: "2",
    doc: "Consecutive successes that bring a backend up"
  }),
  healthUnhealthyThreshold: health(threshold, {
    name: "EDGEPROXY_HEALTH_UNHEALTHY_THRESHOLD",
    default: "3",
    doc: "Consecutive failures that take a backend down"
  }),
  healthPanicThreshold: health(ratio, {
    name: "EDGEPROXY_HEALTH_PANIC_THRESHOLD",
    default: "0",
    doc: "Share of a pool that must be up; below it, check results are ignored"
  }),
  slowStartMs: slowStart(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_SLOW_START_SECS",
    default: "0",
    doc: "Time over which a backend that comes up grows to its full share"
  }),
  onBackendDown: health(literals(["keep", "close"]), {
    name: "EDGEPROXY_ON_BACKEND_DOWN",
    default: "keep",
    doc: "Running connections of a backend that goes down: `keep`, or `close` (paced)"
  }),
  poolEnabled: pool(boolean, {
    name: "EDGEPROXY_POOL_ENABLED",
    default: "false",
    doc: "Connections to backends opened ahead"
  }),
  poolMaxPerBackend: pool(integer({ minimum: 1, maximum: 10_000 }), {
    name: "EDGEPROXY_POOL_MAX_PER_BACKEND",
    default: "10",
    doc: "Most of them per backend"
  }),
  poolIdleTimeoutMs: pool(seconds(), {
    name: "EDGEPROXY_POOL_IDLE_TIMEOUT_SECS",
    default: "60",
    doc: "Closes one that has waited this long for a client"
  }),
  poolMaxLifetimeMs: pool(seconds(), {
    name: "EDGEPROXY_POOL_MAX_LIFETIME_SECS",
    default: "300",
    doc: "Closes one of this age"
  }),
  poolConnectTimeoutMs: pool(seconds(), {
    name: "EDGEPROXY_POOL_CONNECT_TIMEOUT_SECS",
    default: "5",
    doc: "Deadline for opening one"
  }),
  configWatchEnabled: configFile(boolean, {
    name: "EDGEPROXY_CONFIG_WATCH_ENABLED",
    default: "false",
    doc: "Watches the configuration file, which wins over the environment for what may change live; SIGHUP has it read at once"
  }),
  configWatchIntervalMs: configFile(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_CONFIG_WATCH_INTERVAL_SECS",
    default: "5",
    reloadable: true,
    doc: "How often it is looked at"
  }),
  configPath: configFile(path, {
    name: "EDGEPROXY_CONFIG_PATH",
    default: "/etc/edgeproxy/config.toml",
    doc: "The configuration file; its keys are the names of the variables without the prefix, in lower case"
  })
}
