import { endpoint, pops, resolvers } from "../networks.ts"
import { boolean, integer, seconds } from "../scalars.ts"
import { domain, path, symbol } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const dns = inGroup("DNS, anycast")
const anycast = inGroup("DNS, anycast")

export const dnsAnycast = {
  dnsEnabled: dns(boolean, {
    name: "EDGEPROXY_DNS_ENABLED",
    default: "false",
    doc: "DNS server for the internal zone"
  }),
  dnsListenAddr: dns(endpoint, {
    name: "EDGEPROXY_DNS_LISTEN_ADDR",
    default: "0.0.0.0:5353",
    doc: "Where it listens, UDP and TCP"
  }),
  dnsDomain: dns(domain, {
    name: "EDGEPROXY_DNS_DOMAIN",
    default: "internal",
    doc: "The zone it answers for"
  }),
  dnsTtlMs: dns(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_DNS_TTL_SECS",
    default: "30",
    doc: "TTL of its answers, in whole seconds on the wire"
  }),
  dnsRateLimit: dns(integer({ minimum: 1, maximum: 1_000_000 }), {
    name: "EDGEPROXY_DNS_RATE_LIMIT",
    default: "100",
    doc: "Answers per second and client network"
  }),
  pops: dns(pops, {
    name: "EDGEPROXY_POPS",
    doc: "Public addresses of the POPs, e.g. `sa=203.0.113.1|2001:db8::1,us=198.51.100.1`"
  }),
  dnsResolvers: dns(resolvers, {
    name: "EDGEPROXY_DNS_RESOLVERS",
    doc: "Name servers for the host names of backends, e.g. `10.0.0.53:53,[fd00::53]:53`; none = the system's"
  }),
  anycastEnabled: anycast(boolean, {
    name: "EDGEPROXY_ANYCAST_ENABLED",
    default: "false",
    doc: "Announces and withdraws the anycast address through BIRD"
  }),
  anycastBirdSocket: anycast(path, {
    name: "EDGEPROXY_ANYCAST_BIRD_SOCKET",
    default: "/run/bird/bird.ctl",
    doc: "Control socket of BIRD"
  }),
  anycastProtocol: anycast(symbol, {
    name: "EDGEPROXY_ANYCAST_PROTOCOL",
    default: "edgeproxy",
    doc: "BIRD protocols that are switched on and off: this name, with `_4` and `_6`, and `_degraded` before them"
  }),
  anycastMinBackends: anycast(integer({ minimum: 0, maximum: 1_000_000 }), {
    name: "EDGEPROXY_ANYCAST_MIN_BACKENDS",
    default: "1",
    doc: "Withdraws below this many eligible backends; 0 never does so on their account"
  }),
  anycastHoldMs: anycast(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_ANYCAST_HOLD_SECS",
    default: "10",
    doc: "How long things must stay better or worse before the announcement changes"
  }),
  anycastWithdrawMs: anycast(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_ANYCAST_WITHDRAW_SECS",
    default: "5",
    doc: "From the withdrawal to the closing of the listeners, within the drain deadline"
  })
}
