import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import { load, type Loaded } from "../../src/config/load.ts"

type Env = Readonly<Record<string, string | undefined>>

const files: Readonly<Record<string, string>> = {
  "/run/secrets/token": "hunter2\n",
  "/run/secrets/crlf": "hunter2\r\n",
  "/run/secrets/two-lines": "hunter2\n\n",
  "/run/secrets/empty": "\n"
}

const run = (env: Env, terminal = false): Result.Result<Loaded, ConfigError> =>
  load({
    env,
    hostname: "gru1",
    terminal,
    readFile: (path) => Result.fromNullishOr(files[path], () => "no such file")
  })

const loaded = (env: Env, terminal = false): Loaded => Result.getOrThrow(run(env, terminal))

const message = (env: Env): string =>
  Result.match(run(env), { onFailure: (error) => error.message, onSuccess: () => "no error" })

const snapshotPath = (env: Env) => loaded(env).config.snapshotPath
const logLevel = (env: Env) => loaded(env).config.logLevel
const accessLog = (text: string) => loaded({ EDGEPROXY_ACCESS_LOG: text }).config.accessLog
const autoRegion = (env: Env) => loaded({ EDGEPROXY_REGION: "auto", ...env }).config.region
const warningsOf = (env: Env) => loaded(env).warnings

describe("settings that others leave without effect", () => {
  const paths = { EDGEPROXY_TLS_CERT: "/a.crt", EDGEPROXY_TLS_KEY: "/a.key" }

  it.each<[string, Env]>([
    ["EDGEPROXY_TLS_CERT has no effect without EDGEPROXY_TLS_ENABLED", paths],
    ["EDGEPROXY_TLS_CLIENT_CA has no effect without", { EDGEPROXY_TLS_CLIENT_CA: "/ca" }],
    ["EDGEPROXY_BACKEND_TLS_CA has no effect while", { EDGEPROXY_BACKEND_TLS_CA: "/ca" }],
    ["EDGEPROXY_BACKEND_TLS_CA has no effect with", { EDGEPROXY_BACKEND_TLS: "on", EDGEPROXY_BACKEND_TLS_CA: "/ca" }],
    ["EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS has no", { EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS: "10.0.0.0/8" }],
    ["EDGEPROXY_POOL_ENABLED has no effect with", { EDGEPROXY_POOL_ENABLED: "true", EDGEPROXY_BACKEND_TLS: "verify" }]
  ])("%s ...: a warning", (text, env) => {
    const [only, ...others] = warningsOf(env)
    assert.include(only, text)
    assert.deepStrictEqual(others, [])
  })

  it("no warning where they have one", () => {
    const verified = { EDGEPROXY_BACKEND_TLS: "verify", EDGEPROXY_BACKEND_TLS_CA: "/ca" }
    assert.deepStrictEqual(warningsOf({ ...paths, EDGEPROXY_TLS_ENABLED: "true", ...verified }), [])
    assert.deepStrictEqual(warningsOf({ EDGEPROXY_BACKEND_TLS: "off", EDGEPROXY_POOL_ENABLED: "true" }), [])
    const passed = { EDGEPROXY_TLS_ENABLED: "true", EDGEPROXY_TLS_MODE: "passthrough" }
    assert.deepStrictEqual(warningsOf({ ...passed, EDGEPROXY_BACKEND_TLS: "on", EDGEPROXY_POOL_ENABLED: "true" }), [])
  })

  it("client certificates that nobody would ask for are an error", () => {
    const env = { EDGEPROXY_TLS_ENABLED: "true", EDGEPROXY_TLS_MODE: "passthrough", EDGEPROXY_TLS_CLIENT_CA: "/ca" }
    assert.match(message(env), /EDGEPROXY_TLS_CLIENT_CA="\/ca"; allowed: nothing with EDGEPROXY_TLS_MODE=passthrough/)
  })
})

describe("load", () => {
  it("takes the defaults from an empty environment, without a warning", () => {
    const { config, sources, warnings } = loaded({})
    assert.deepStrictEqual(warnings, [])
    assert.deepStrictEqual([...new Set(Object.values(sources))], ["default"])
    assert.deepStrictEqual(config.listenAddr, [{ address: "0.0.0.0", port: 8080, app: undefined }])
    assert.strictEqual(config.region, "sa")
    assert.strictEqual(config.dbReloadMs, 5_000)
    assert.strictEqual(config.maxConnections, "auto")
    assert.isUndefined(config.geoipPath)
    assert.isUndefined(config.apiToken)
  })

  it("takes what is set, and says so", () => {
    const { config, sources } = loaded({ EDGEPROXY_REGION: "EU", EDGEPROXY_IDLE_TIMEOUT_SECS: "1.5" })
    assert.strictEqual(config.region, "eu")
    assert.strictEqual(sources.region, "environment")
    assert.strictEqual(config.idleTimeoutMs, 1_500)
    assert.strictEqual(sources.idleTimeoutMs, "environment")
    assert.strictEqual(sources.finTimeoutMs, "default")
  })

  it("counts an empty text as absent", () => {
    const { config, sources, warnings } = loaded({
      EDGEPROXY_REGION: "",
      EDGEPROXY_DB_PATH: "",
      EDGEPROXY_API_TOKEN: "",
      EDGEPROXY_API_TOKEN_FILE: "",
      EDGEPROXY_NO_SUCH_NAME: ""
    })
    assert.strictEqual(config.region, "sa")
    assert.strictEqual(config.dbPath, "routing.db")
    assert.strictEqual(sources.region, "default")
    assert.deepStrictEqual(warnings, [])
  })

  it("keeps the snapshot next to the database, elsewhere, or off", () => {
    assert.strictEqual(snapshotPath({}), "routing.db.snapshot")
    assert.strictEqual(snapshotPath({ EDGEPROXY_DB_PATH: "/var/lib/e/r.db" }), "/var/lib/e/r.db.snapshot")
    assert.strictEqual(snapshotPath({ EDGEPROXY_DB_PATH: "/r.db", EDGEPROXY_SNAPSHOT_PATH: "/s" }), "/s")
    assert.isUndefined(snapshotPath({ EDGEPROXY_SNAPSHOT_PATH: "" }))
  })

  it("names the POP after the host unless told otherwise", () => {
    assert.strictEqual(loaded({}).config.popId, "gru1")
    assert.strictEqual(loaded({ EDGEPROXY_POP_ID: "pop-7" }).config.popId, "pop-7")
    const nameless = load({ env: {}, hostname: "" })
    assert.strictEqual(
      Result.isFailure(nameless) && nameless.failure.message,
      "EDGEPROXY_POP_ID is not set; allowed: 1 to 128 bytes of printable text"
    )
  })

  it("DEBUG is a default for the log level", () => {
    assert.strictEqual(logLevel({}), "Info")
    assert.strictEqual(logLevel({ DEBUG: "1" }), "Debug")
    assert.strictEqual(logLevel({ DEBUG: "true" }), "Debug")
    assert.strictEqual(logLevel({ DEBUG: "0" }), "Info")
    assert.strictEqual(logLevel({ DEBUG: "1", EDGEPROXY_LOG_LEVEL: "warn" }), "Warn")
    assert.strictEqual(logLevel({ DEBUG: "express:*" }), "Info")
  })

  it("logs for people on a terminal", () => {
    assert.strictEqual(loaded({}, true).config.logFormat, "pretty")
    assert.strictEqual(loaded({}, false).config.logFormat, "json")
    assert.strictEqual(loaded({ EDGEPROXY_LOG_FORMAT: "logfmt" }, true).config.logFormat, "logfmt")
  })

  it("sends the access log to a stream or a file", () => {
    assert.strictEqual(accessLog("OFF"), "off")
    assert.strictEqual(accessLog("stderr"), "stderr")
    assert.deepStrictEqual(accessLog("./off"), { path: "./off" })
    const otlp = { EDGEPROXY_ACCESS_LOG: "otlp", OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" }
    assert.strictEqual(loaded(otlp).config.accessLog, "otlp")
  })
})

describe("EDGEPROXY_REGION=auto", () => {
  it("takes the first cloud region it knows", () => {
    assert.strictEqual(autoRegion({ FLY_REGION: "nrt" }), "ap")
    assert.strictEqual(autoRegion({ AWS_REGION: "eu-west-1" }), "eu")
    assert.strictEqual(autoRegion({ GOOGLE_CLOUD_REGION: "southamerica-east1" }), "sa")
    assert.strictEqual(autoRegion({ CLOUD_REGION: "us-central1" }), "us")
    assert.strictEqual(autoRegion({ FLY_REGION: "gru", AWS_REGION: "us-east-1" }), "sa")
    assert.strictEqual(autoRegion({ FLY_REGION: "nowhere", AWS_REGION: "us-east-1" }), "us")
  })

  it("is never guessed", () => {
    assert.strictEqual(
      message({ EDGEPROXY_REGION: "auto", AWS_REGION: "mars-east-1" }),
      'EDGEPROXY_REGION="auto"; allowed: sa, us, eu, ap or auto, where auto needs a region of Fly.io, AWS or Google Cloud ' +
        'in one of FLY_REGION, AWS_REGION, GOOGLE_CLOUD_REGION, CLOUD_REGION (found AWS_REGION="mars-east-1")'
    )
    assert.include(message({ EDGEPROXY_REGION: "auto" }), "(none is set)")
  })
})

describe("bad values", () => {
  it.each([
    [
      "EDGEPROXY_LISTEN_ADDR",
      "8080",
      'IPv4:port or [IPv6]:port with commas between, port from 0 to 65535, not link-local, =app may follow; "8080" is none'
    ],
    ["EDGEPROXY_REGION", "hkg", "sa, us, eu, ap or auto"],
    ["EDGEPROXY_DB_RELOAD_SECS", "0", "seconds from 0.1 to 2147483, decimals allowed"],
    ["EDGEPROXY_BINDING_MAX", "0", "an integer from 1 to 100000000"],
    ["EDGEPROXY_SPILL_AT", "never", "hard or soft"],
    ["EDGEPROXY_LOG_LEVEL", "verbose", "trace, debug, info, warn, error or fatal"],
    [
      "EDGEPROXY_GEO_OVERRIDES",
      "10.0.0.0/8=XX",
      'network=country with commas between, such as 10.9.0.0/16=DE,2001:db8::/32=BR; "10.0.0.0/8=XX" is none'
    ],
    ["EDGEPROXY_CONNECT_TIMEOUT_MS", "0", "milliseconds from 1 to 2147483000, decimals allowed"],
    ["EDGEPROXY_MAX_CONNECTIONS", "many", "auto or an integer from 1 to 10000000"],
    ["EDGEPROXY_TCP_KEEPALIVE_SECS", "0.5", "0 (off) or seconds from 1 to 32767, decimals allowed"],
    ["EDGEPROXY_TABLE_MAX_SHRINK", "50%", "a number from 0 to 1"],
    ["EDGEPROXY_TLS_ENABLED", "maybe", "true, false, 1, 0, yes, no, on or off"],
    ["EDGEPROXY_API_LISTEN_ADDR", "localhost:8081", "IPv4:port or [IPv6]:port, port from 0 to 65535, not link-local"],
    ["EDGEPROXY_CORROSION_API_URL", "localhost:8090", "a URL that starts with http:// or https://"],
    ["EDGEPROXY_HEALTH_CHECK_PATH", "health", "a path that starts with /"],
    ["EDGEPROXY_CONFIG_PATH", "a\nb", "a path of printable characters"]
  ])("%s=%j is one line", (name, text, allowed) => {
    assert.strictEqual(message({ [name]: text }), `${name}=${JSON.stringify(text)}; allowed: ${allowed}`)
  })

  it("are all reported at once, each by its name", () => {
    const result = run({
      EDGEPROXY_REGION: "mars",
      EDGEPROXY_DB_RELOAD_SECS: "soon",
      EDGEPROXY_POSTGRES_ENABLED: "yes",
      EDGEPROXY_API_TOKEN: "two words",
      EDGEPROXY_MAX_CONNECTIONS: "100"
    })
    const problems = Result.isFailure(result) ? result.failure.problems : []
    assert.deepStrictEqual(problems, [
      { name: "EDGEPROXY_REGION", value: "mars", allowed: "sa, us, eu, ap or auto" },
      { name: "EDGEPROXY_DB_RELOAD_SECS", value: "soon", allowed: "seconds from 0.1 to 2147483, decimals allowed" },
      { name: "EDGEPROXY_API_TOKEN", value: "***", allowed: "1 to 4096 visible ASCII characters" },
      { name: "EDGEPROXY_POSTGRES_URL", allowed: "a connection URL, which EDGEPROXY_POSTGRES_ENABLED requires" }
    ])
    assert.strictEqual(Result.isFailure(result) && result.failure.message.split("\n").length, 4)
  })

  it("show no secret and no password in a URL", () => {
    const secrets = message({
      EDGEPROXY_API_TOKEN: "hunter2 ",
      EDGEPROXY_POSTGRES_URL: "mysql://u:hunter2@h/db",
      EDGEPROXY_CORROSION_API_URL: "ftp://u:hunter2@h/",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=ok,hunter2"
    })
    assert.strictEqual(secrets.split("\n").length, 4)
    assert.notInclude(secrets, "hunter2")
    assert.include(secrets, 'EDGEPROXY_CORROSION_API_URL="ftp://***@h/"')
  })

  it("are cut when they are long", () => {
    assert.isBelow(message({ EDGEPROXY_REGION: "x".repeat(10_000) }).length, 400)
    assert.isBelow(message({ EDGEPROXY_LISTEN_ADDR: "x".repeat(10_000) }).length, 550)
  })
})

describe("values that contradict each other", () => {
  it.each<readonly [string, Env, string]>([
    [
      "a certificate without its key",
      { EDGEPROXY_TLS_CERT: "c.pem" },
      "EDGEPROXY_TLS_KEY is not set; allowed: EDGEPROXY_TLS_CERT and EDGEPROXY_TLS_KEY both, or neither"
    ],
    [
      "a key without its certificate",
      { EDGEPROXY_BACKEND_TLS_KEY: "k.pem" },
      "EDGEPROXY_BACKEND_TLS_CERT is not set; allowed: EDGEPROXY_BACKEND_TLS_CERT and EDGEPROXY_BACKEND_TLS_KEY both, or neither"
    ],
    [
      "two shared sources",
      { EDGEPROXY_CORROSION_ENABLED: "1", EDGEPROXY_POSTGRES_ENABLED: "1", EDGEPROXY_POSTGRES_URL: "postgres://h/db" },
      'EDGEPROXY_POSTGRES_ENABLED="1"; allowed: at most one of EDGEPROXY_CORROSION_ENABLED and EDGEPROXY_POSTGRES_ENABLED'
    ],
    [
      "PostgreSQL without a URL",
      { EDGEPROXY_POSTGRES_ENABLED: "1" },
      "EDGEPROXY_POSTGRES_URL is not set; allowed: a connection URL, which EDGEPROXY_POSTGRES_ENABLED requires"
    ],
    [
      "an access log for a collector that nobody has named",
      { EDGEPROXY_ACCESS_LOG: "otlp" },
      "OTEL_EXPORTER_OTLP_ENDPOINT is not set; allowed: the URL of a collector, which EDGEPROXY_ACCESS_LOG=otlp requires"
    ],
    [
      "PROXY headers from nobody",
      { EDGEPROXY_PROXY_PROTOCOL_IN: "optional" },
      "EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS is not set; allowed: at least one network, which EDGEPROXY_PROXY_PROTOCOL_IN requires"
    ],
    [
      "connections opened ahead for nobody, to backends that are told for whom",
      { EDGEPROXY_POOL_ENABLED: "true", EDGEPROXY_PROXY_PROTOCOL_OUT: "v2" },
      'EDGEPROXY_POOL_ENABLED="true"; allowed: false with EDGEPROXY_PROXY_PROTOCOL_OUT: a backend that waits for a header closes what is opened ahead'
    ],
    [
      "a listener twice",
      { EDGEPROXY_LISTEN_ADDR: "[::1]:80=a,127.0.0.1:80,[0:0::1]:80=b" },
      'EDGEPROXY_LISTEN_ADDR="[::1]:80=a,127.0.0.1:80,[0:0::1]:80=b"; allowed: every listener once; [::1]:80 is there twice'
    ],
    [
      "a wildcard that has another listener's address",
      { EDGEPROXY_LISTEN_ADDR: "127.0.0.1:80=a,0.0.0.0:80=b" },
      'EDGEPROXY_LISTEN_ADDR="127.0.0.1:80=a,0.0.0.0:80=b"; allowed: every listener on a port of its own; 0.0.0.0:80 is taken by 127.0.0.1:80 too'
    ],
    [
      "an IPv6 wildcard that has an IPv4 address",
      { EDGEPROXY_LISTEN_ADDR: "[::]:80", EDGEPROXY_API_LISTEN_ADDR: "0.0.0.0:80" },
      'EDGEPROXY_API_LISTEN_ADDR="0.0.0.0:80"; allowed: every listener on a port of its own; 0.0.0.0:80 is taken by [::]:80 too'
    ],
    [
      "closing paced over longer than the drain",
      { EDGEPROXY_SHUTDOWN_PACE_SECS: "31" },
      'EDGEPROXY_SHUTDOWN_PACE_SECS="31"; allowed: at most EDGEPROXY_SHUTDOWN_TIMEOUT_SECS, in whose last seconds it falls'
    ]
  ])("%s", (_, env, expected) => {
    assert.strictEqual(message(env), expected)
  })

  it.each<readonly [string, Env]>([
    ["a certificate with its key", { EDGEPROXY_TLS_CERT: "c.pem", EDGEPROXY_TLS_KEY: "k.pem" }],
    ["PostgreSQL with a URL", { EDGEPROXY_POSTGRES_ENABLED: "1", EDGEPROXY_POSTGRES_URL: "postgres://h/db" }],
    [
      "PROXY headers from someone",
      { EDGEPROXY_PROXY_PROTOCOL_IN: "required", EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS: "10.0.0.0/8" }
    ],
    ["port 0 twice", { EDGEPROXY_LISTEN_ADDR: "127.0.0.1:0,127.0.0.1:0" }],
    ["both wildcards for clients", { EDGEPROXY_LISTEN_ADDR: "[::]:80,0.0.0.0:80" }],
    ["an IPv6 wildcard and an IPv4 address for clients", { EDGEPROXY_LISTEN_ADDR: "[::]:80,127.0.0.1:80=a" }],
    [
      "an IPv6 address and the IPv4 wildcard",
      { EDGEPROXY_LISTEN_ADDR: "[::1]:80", EDGEPROXY_API_LISTEN_ADDR: "0.0.0.0:80" }
    ],
    [
      "a wildcard beside its address, when the kernel chooses",
      { EDGEPROXY_LISTEN_ADDR: "127.0.0.1:80,0.0.0.0:80", EDGEPROXY_TCP_REUSE_PORT: "true" }
    ],
    ["one port on two addresses", { EDGEPROXY_LISTEN_ADDR: "127.0.0.1:80,[::1]:80" }],
    ["closing paced over all of the drain", { EDGEPROXY_SHUTDOWN_PACE_SECS: "30" }]
  ])("%s is fine", (_, env) => {
    assert.isTrue(Result.isSuccess(run(env)), message(env))
  })

  it("are not held against a variable that is bad itself", () => {
    assert.strictEqual(
      message({ EDGEPROXY_TLS_CERT: "a\nb", EDGEPROXY_TLS_KEY: "k.pem" }),
      'EDGEPROXY_TLS_CERT="a\\nb"; allowed: a path of printable characters'
    )
  })
})

describe("secrets from files", () => {
  it.each(["/run/secrets/token", "/run/secrets/crlf"])("%s gives its line", (path) => {
    const { config, sources } = loaded({ EDGEPROXY_API_TOKEN_FILE: path })
    assert.isDefined(config.apiToken)
    assert.strictEqual(Redacted.value(config.apiToken), "hunter2")
    assert.strictEqual(sources.apiToken, "file")
  })

  it.each<readonly [string, Env, string]>([
    [
      "a missing file",
      { EDGEPROXY_API_TOKEN_FILE: "/nowhere" },
      'EDGEPROXY_API_TOKEN_FILE="/nowhere"; allowed: a file that can be read (no such file)'
    ],
    [
      "an empty file",
      { EDGEPROXY_API_TOKEN_FILE: "/run/secrets/empty" },
      'EDGEPROXY_API_TOKEN_FILE="/run/secrets/empty"; allowed: a file that is not empty'
    ],
    [
      "a file of two lines",
      { EDGEPROXY_API_TOKEN_FILE: "/run/secrets/two-lines" },
      'EDGEPROXY_API_TOKEN_FILE="***"; allowed: 1 to 4096 visible ASCII characters'
    ],
    [
      "the file and the value",
      { EDGEPROXY_API_TOKEN_FILE: "/run/secrets/token", EDGEPROXY_API_TOKEN: "x" },
      'EDGEPROXY_API_TOKEN_FILE="/run/secrets/token"; allowed: one of EDGEPROXY_API_TOKEN and EDGEPROXY_API_TOKEN_FILE, not both'
    ]
  ])("%s is an error", (_, env, expected) => {
    assert.strictEqual(message(env), expected)
  })

  it("are not read where nobody reads files", () => {
    const result = load({ env: { EDGEPROXY_API_TOKEN_FILE: "/run/secrets/token" }, hostname: "gru1" })
    assert.include(Result.isFailure(result) ? result.failure.message : "", "(no file is read here)")
  })
})

describe("warnings", () => {
  it("name the nearest variable for a slip", () => {
    assert.deepStrictEqual(warningsOf({ EDGEPROXY_LISTEN_ADR: "0.0.0.0:1" }), [
      "EDGEPROXY_LISTEN_ADR is not known and is ignored; did you mean EDGEPROXY_LISTEN_ADDR?"
    ])
    assert.deepStrictEqual(warningsOf({ EDGEPROXY_BANANA_SPLIT_FLAVOUR: "1" }), [
      "EDGEPROXY_BANANA_SPLIT_FLAVOUR is not known and is ignored"
    ])
  })

  it("tell where replication has gone", () => {
    assert.deepStrictEqual(warningsOf({ EDGEPROXY_REPLICATION_ENABLED: "true" }), [
      "EDGEPROXY_REPLICATION_ENABLED is ignored: replaced by Corrosion, see EDGEPROXY_CORROSION_ENABLED"
    ])
  })

  it("are silent about other programs' variables", () => {
    assert.deepStrictEqual(warningsOf({ PATH: "/bin", OTEL_LOGS_EXPORTER: "none", MY_EDGEPROXY_X: "1" }), [])
  })
})
