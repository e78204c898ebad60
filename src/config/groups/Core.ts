import * as Result from "effect/Result"
import * as Str from "effect/String"
import { type Codec, described, imap, optional } from "../Codec.ts"
import { DEFAULT_LISTEN_ADDR } from "../listenDefaults.ts"
import { geoOverrides, listenAddresses } from "../networks.ts"
import { cloudRegionVariables, regionOrAuto } from "../regionOrAuto.ts"
import { boolean, integer, literals, seconds } from "../scalars.ts"
import { name, path } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("Core")

/** Where access-log lines go. */
export type AccessLogTarget = "off" | "stdout" | "stderr" | "otlp" | { readonly path: string }

const streams = literals(["off", "stdout", "stderr", "otlp"])

const accessLogTarget: Codec<AccessLogTarget> = described(
  imap(
    path,
    (text): AccessLogTarget => Result.getOrElse(streams.decode(text), () => ({ path: text })),
    (target) => (typeof target === "string" ? target : target.path)
  ),
  `${streams.allowed}, or a file path`
)

const logLevel = imap(
  literals(["trace", "debug", "info", "warn", "error", "fatal"]),
  (word) => Str.capitalize(word),
  (level) => Str.uncapitalize(level)
)

// The name is not ours alone: `DEBUG=express:*` in somebody's shell is no reason not to start.
const debugFlag: Codec<boolean> = {
  ...boolean,
  decode: (text) => Result.succeed(Result.getOrElse(boolean.decode(text), () => false))
}

const defaultDbPath = "routing.db"

export const core = {
  listenAddr: define(listenAddresses, {
    name: "EDGEPROXY_LISTEN_ADDR",
    default: DEFAULT_LISTEN_ADDR,
    doc: "TCP listeners, comma separated; `addr=app` binds a listener to one app, e.g. `[::]:5432=pg`"
  }),
  app: define(optional(name), {
    name: "EDGEPROXY_APP",
    doc: "App for the listeners that name none; without it all apps form one pool"
  }),
  region: define(regionOrAuto, {
    name: "EDGEPROXY_REGION",
    default: "sa",
    doc: `Where this POP is: \`sa\`, \`us\`, \`eu\`, \`ap\`; \`auto\` asks ${cloudRegionVariables.join(", ")}`
  }),
  popId: define(name, {
    name: "EDGEPROXY_POP_ID",
    default: { shown: "host name", from: ({ hostname }) => hostname },
    doc: "Identity of this POP in logs, metrics and the ownership of registered backends"
  }),
  dbPath: define(path, {
    name: "EDGEPROXY_DB_PATH",
    default: defaultDbPath,
    doc: "SQLite routing database; created with its schema when missing"
  }),
  dbReloadMs: define(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_DB_RELOAD_SECS",
    default: "5",
    doc: "How often SQLite is looked at (a cheap check first)"
  }),
  snapshotPath: define(optional(path), {
    name: "EDGEPROXY_SNAPSHOT_PATH",
    default: {
      shown: "`<EDGEPROXY_DB_PATH>.snapshot`",
      from: ({ env }) => {
        const dbPath = path.decode(env["EDGEPROXY_DB_PATH"] ?? "")
        return `${Result.getOrElse(dbPath, () => defaultDbPath)}.snapshot`
      }
    },
    emptyIsValue: true,
    doc: "Last good routing table, for a start while the source is lost; an empty text turns it off"
  }),
  geoipPath: define(optional(path), {
    name: "EDGEPROXY_GEOIP_PATH",
    default: { shown: "embedded database", from: () => "" },
    doc: "MaxMind .mmdb file (GeoLite2 or GeoIP2 Country or City, or a flat `country_code` one); watched, swapped live"
  }),
  geoOverrides: define(geoOverrides, {
    name: "EDGEPROXY_GEO_OVERRIDES",
    reloadable: true,
    doc: "`network=country` list that wins over the database, e.g. `127.0.1.0/24=BR,10.9.0.0/16=DE`"
  }),
  bindingTtlMs: define(seconds({ zero: "no affinity" }), {
    name: "EDGEPROXY_BINDING_TTL_SECS",
    default: "600",
    doc: "How long a client stays bound to its backend after its last connection; 0 = no affinity"
  }),
  bindingGcIntervalMs: define(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_BINDING_GC_INTERVAL_SECS",
    default: "60",
    doc: "How often expired bindings are collected"
  }),
  bindingMaxConnections: define(integer({ minimum: 1, maximum: 10_000_000, zero: "off" }), {
    name: "EDGEPROXY_BINDING_MAX_CONNECTIONS",
    default: "0",
    reloadable: true,
    doc: "Live connections one client (or carrier NAT) can pin to its backend, further ones are routed afresh; 0 = off"
  }),
  bindingMax: define(integer({ minimum: 1, maximum: 100_000_000 }), {
    name: "EDGEPROXY_BINDING_MAX",
    default: "1000000",
    doc: "Most bindings kept; the least recently used go first"
  }),
  spillAt: define(literals(["hard", "soft"]), {
    name: "EDGEPROXY_SPILL_AT",
    default: "hard",
    reloadable: true,
    doc: "Limit at which a group of equally near backends yields to the next: `hard` or `soft`"
  }),
  debug: define(debugFlag, {
    name: "DEBUG",
    default: "false",
    doc: "`1` or `true` makes the default log level `debug`; anything else counts for nothing"
  }),
  logLevel: define(logLevel, {
    name: "EDGEPROXY_LOG_LEVEL",
    default: {
      shown: "`info`",
      from: ({ env }) => (Result.getOrElse(debugFlag.decode(env["DEBUG"] ?? ""), () => false) ? "debug" : "info")
    },
    doc: "`trace`, `debug`, `info`, `warn`, `error` or `fatal`"
  }),
  logFormat: define(literals(["json", "logfmt", "pretty"]), {
    name: "EDGEPROXY_LOG_FORMAT",
    default: {
      shown: "`json`, `pretty` on a terminal",
      from: ({ terminal }) => (terminal ? "pretty" : "json")
    },
    doc: "`json`, `logfmt` or `pretty`"
  }),
  accessLog: define(accessLogTarget, {
    name: "EDGEPROXY_ACCESS_LOG",
    default: "stdout",
    doc: "One line per ended connection: `off`, `stdout`, `stderr`, `otlp` (to the collector of OTEL_EXPORTER_OTLP_ENDPOINT) or a file path (reopened on SIGHUP)"
  })
}
