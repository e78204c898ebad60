import { optional, secret } from "../Codec.ts"
import { boolean, integer, literals, ratio, seconds } from "../scalars.ts"
import { token, url } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("Sources")

export const sources = {
  corrosionEnabled: define(boolean, {
    name: "EDGEPROXY_CORROSION_ENABLED",
    default: "false",
    doc: "Routing table from a Corrosion agent instead of EDGEPROXY_DB_PATH"
  }),
  corrosionApiUrl: define(url("http", "https"), {
    name: "EDGEPROXY_CORROSION_API_URL",
    default: "http://localhost:8090",
    doc: "API of the Corrosion agent"
  }),
  corrosionPollMs: define(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_CORROSION_POLL_SECS",
    default: "5",
    doc: "How often it is asked while polling"
  }),
  corrosionToken: define(optional(secret(token)), {
    name: "EDGEPROXY_CORROSION_TOKEN",
    doc: "Bearer token for the Corrosion agent"
  }),
  corrosionMode: define(literals(["subscribe", "poll"]), {
    name: "EDGEPROXY_CORROSION_MODE",
    default: "subscribe",
    doc: "`subscribe` (falls back to polling) or `poll`"
  }),
  postgresEnabled: define(boolean, {
    name: "EDGEPROXY_POSTGRES_ENABLED",
    default: "false",
    doc: "Routing table from PostgreSQL instead of EDGEPROXY_DB_PATH"
  }),
  postgresUrl: define(optional(secret(url("postgres", "postgresql"))), {
    name: "EDGEPROXY_POSTGRES_URL",
    doc: "Connection URL, e.g. `postgres://user:password@host:5432/db`; required with EDGEPROXY_POSTGRES_ENABLED"
  }),
  postgresMaxConnections: define(integer({ minimum: 1, maximum: 1_000 }), {
    name: "EDGEPROXY_POSTGRES_MAX_CONNECTIONS",
    default: "10",
    doc: "Most connections to PostgreSQL"
  }),
  postgresMinConnections: define(integer({ minimum: 0, maximum: 1_000 }), {
    name: "EDGEPROXY_POSTGRES_MIN_CONNECTIONS",
    default: "2",
    doc: "Connections kept open"
  }),
  postgresConnectTimeoutMs: define(seconds(), {
    name: "EDGEPROXY_POSTGRES_CONNECT_TIMEOUT_SECS",
    default: "5",
    doc: "Deadline for connecting"
  }),
  postgresQueryTimeoutMs: define(seconds(), {
    name: "EDGEPROXY_POSTGRES_QUERY_TIMEOUT_SECS",
    default: "10",
    doc: "Deadline of a query"
  }),
  postgresReloadMs: define(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_POSTGRES_RELOAD_SECS",
    default: "5",
    doc: "How often the table is read when notifications are missing"
  }),
  tableMaxShrink: define(ratio, {
    name: "EDGEPROXY_TABLE_MAX_SHRINK",
    default: "0.5",
    reloadable: true,
    doc: "An update that removes more than this share of the eligible backends is held until confirmed"
  }),
  tableHoldMs: define(seconds({ minimum: 0 }), {
    name: "EDGEPROXY_TABLE_HOLD_SECS",
    default: "60",
    reloadable: true,
    doc: "A held update that has stood unchanged this long is applied"
  })
}
