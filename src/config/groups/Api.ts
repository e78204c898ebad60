import { optional, secret } from "../Codec.ts"
import { endpoint, networks } from "../networks.ts"
import { boolean, seconds } from "../scalars.ts"
import { token } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("Discovery API, dashboard")

export const api = {
  apiEnabled: define(boolean, {
    name: "EDGEPROXY_API_ENABLED",
    default: "true",
    doc: "HTTP API: discovery, health, explain, connections"
  }),
  apiListenAddr: define(endpoint, {
    name: "EDGEPROXY_API_LISTEN_ADDR",
    default: "0.0.0.0:8081",
    doc: "Where the API listens"
  }),
  apiToken: define(optional(secret(token)), {
    name: "EDGEPROXY_API_TOKEN",
    doc: "Bearer token for writes; without one, writes are taken from loopback only"
  }),
  apiReadToken: define(optional(secret(token)), {
    name: "EDGEPROXY_API_READ_TOKEN",
    doc: "Bearer token that may read (the write token may too)"
  }),
  apiPublicReads: define(boolean, {
    name: "EDGEPROXY_API_PUBLIC_READS",
    default: "false",
    doc: "Reads for everyone, not only loopback and token holders; `/health` and `/ready` are always open"
  }),
  heartbeatTtlMs: define(seconds({ minimum: 1 }), {
    name: "EDGEPROXY_HEARTBEAT_TTL_SECS",
    default: "60",
    doc: "A registered backend without a heartbeat leaves the rotation after this, and is deleted after ten times this"
  }),
  backendAllowCidrs: define(networks, {
    name: "EDGEPROXY_BACKEND_ALLOW_CIDRS",
    default: "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,fc00::/7,::1/128",
    doc: "Where registered backends and rows of shared sources may live (the latter on loopback only if listed here)"
  }),
  dashboardEnabled: define(boolean, {
    name: "EDGEPROXY_DASHBOARD_ENABLED",
    default: "true",
    doc: "Web dashboard at `/` of the API listener"
  })
}
