import { orAuto } from "../Codec.ts"
import { DEFAULT_TCP_KEEPALIVE_SECS } from "../listenDefaults.ts"
import { countryList, networks } from "../networks.ts"
import { boolean, integer, literals, milliseconds, ratio, seconds } from "../scalars.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("Traffic")

// The kernel's own bound for TCP_KEEPIDLE.
const longestKeepaliveSecs = 32_767

export const traffic = {
  transport: define(literals(["auto", "splice", "node"]), {
    name: "EDGEPROXY_TRANSPORT",
    default: "auto",
    doc: "Byte engine: `splice` (Linux), `node`, or `auto`, which takes splice where it works"
  }),
  transportThreads: define(orAuto(integer({ minimum: 1, maximum: 256 })), {
    name: "EDGEPROXY_TRANSPORT_THREADS",
    default: "auto",
    doc: "Threads of the splice engine; `auto`: one less than there are cores, at least 1, at most 8"
  }),
  connectTimeoutMs: define(milliseconds(), {
    name: "EDGEPROXY_CONNECT_TIMEOUT_MS",
    default: "3000",
    doc: "Deadline of one dial"
  }),
  connectAttempts: define(integer({ minimum: 1, maximum: 100 }), {
    name: "EDGEPROXY_CONNECT_ATTEMPTS",
    default: "3",
    doc: "Different backends tried before the client is closed"
  }),
  prerouteTimeoutMs: define(milliseconds(), {
    name: "EDGEPROXY_PREROUTE_TIMEOUT_MS",
    default: "5000",
    doc: "From accept to routed: PROXY header, ClientHello and TLS handshake together"
  }),
  idleTimeoutMs: define(seconds({ zero: "off" }), {
    name: "EDGEPROXY_IDLE_TIMEOUT_SECS",
    default: "3600",
    doc: "Closes a connection after this long without a byte either way; 0 = off"
  }),
  finTimeoutMs: define(seconds(), {
    name: "EDGEPROXY_FIN_TIMEOUT_SECS",
    default: "60",
    doc: "Closes a connection when one side has finished and the other stays silent this long"
  }),
  stallTimeoutMs: define(seconds(), {
    name: "EDGEPROXY_STALL_TIMEOUT_SECS",
    default: "120",
    doc: "Closes a connection when bytes are waiting and the receiver takes none this long"
  }),
  maxConnectionMs: define(seconds({ zero: "off" }), {
    name: "EDGEPROXY_MAX_CONNECTION_SECS",
    default: "0",
    doc: "Maximum age of a connection, closed with 10 % jitter; 0 = off"
  }),
  tcpKeepaliveMs: define(seconds({ minimum: 1, maximum: longestKeepaliveSecs, zero: "off" }), {
    name: "EDGEPROXY_TCP_KEEPALIVE_SECS",
    default: DEFAULT_TCP_KEEPALIVE_SECS,
    doc: "TCP keepalive on both sides; 0 = off"
  }),
  tcpReusePort: define(boolean, {
    name: "EDGEPROXY_TCP_REUSE_PORT",
    default: "false",
    doc: "An accept queue for each thread of the splice engine instead of one for all"
  }),
  tcpDeferAcceptMs: define(seconds({ minimum: 1, maximum: 300, zero: "off" }), {
    name: "EDGEPROXY_TCP_DEFER_ACCEPT_SECS",
    default: "0",
    doc: "Splice engine: accepts a client with its first bytes, or after this long; not for protocols whose server speaks first; 0 = off"
  }),
  tcpFastOpen: define(integer({ minimum: 1, maximum: 65_535, zero: "off" }), {
    name: "EDGEPROXY_TCP_FAST_OPEN",
    default: "0",
    doc: "Splice engine: clients with bytes in their SYN (TCP Fast Open) that may wait to be accepted; 0 = off"
  }),
  maxConnections: define(orAuto(integer({ minimum: 1, maximum: 10_000_000 })), {
    name: "EDGEPROXY_MAX_CONNECTIONS",
    default: "auto",
    doc: "Most connections of the whole process; `auto` = what the file-descriptor limit allows"
  }),
  maxConnectionsPerClient: define(integer({ minimum: 1, maximum: 10_000_000, zero: "off" }), {
    name: "EDGEPROXY_MAX_CONNECTIONS_PER_CLIENT",
    default: "0",
    reloadable: true,
    doc: "Most connections of one client (IPv6: per /64); 0 = off"
  }),
  allowCidrs: define(networks, {
    name: "EDGEPROXY_ALLOW_CIDRS",
    reloadable: true,
    doc: "Networks that may connect, comma separated; none = all"
  }),
  denyCidrs: define(networks, {
    name: "EDGEPROXY_DENY_CIDRS",
    reloadable: true,
    doc: "Networks that may not connect, comma separated"
  }),
  denyCountries: define(countryList, {
    name: "EDGEPROXY_DENY_COUNTRIES",
    reloadable: true,
    doc: "Countries that may not connect, as ISO codes, comma separated"
  }),
  proxyProtocolIn: define(literals(["off", "optional", "required"]), {
    name: "EDGEPROXY_PROXY_PROTOCOL_IN",
    default: "off",
    doc: "PROXY header of trusted peers: `off`, `optional`, or `required`, which refuses clients without"
  }),
  proxyProtocolTrustedCidrs: define(networks, {
    name: "EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS",
    doc: "Networks whose PROXY headers are believed, comma separated"
  }),
  overloadLoopDelayMs: define(milliseconds(), {
    name: "EDGEPROXY_OVERLOAD_LOOP_DELAY_MS",
    default: "200",
    doc: "Accepts nobody above this p99 delay of the control loop"
  }),
  overloadMemory: define(ratio, {
    name: "EDGEPROXY_OVERLOAD_MEMORY",
    default: "0.9",
    doc: "Accepts nobody above this share of the memory limit (the container's, else the machine's), or of the JavaScript heap's; 0 = off"
  }),
  proxyProtocolOut: define(literals(["off", "v1", "v2"]), {
    name: "EDGEPROXY_PROXY_PROTOCOL_OUT",
    default: "off",
    doc: "PROXY header to backends: `off`, `v1`, or `v2`, which carries the client's country and region too"
  }),
  shutdownTimeoutMs: define(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_SHUTDOWN_TIMEOUT_SECS",
    default: "30",
    doc: "From the signal to the moment when connections that still run are closed by force"
  }),
  shutdownPaceMs: define(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_SHUTDOWN_PACE_SECS",
    default: "0",
    doc: "Spreads the closing of what is left over this many last seconds before the deadline"
  }),
  shutdownGraceMs: define(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_SHUTDOWN_GRACE_SECS",
    default: "0",
    doc: "Keeps accepting this long after the signal while `/ready` says no"
  })
}
