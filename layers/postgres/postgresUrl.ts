import * as Data from "effect/Data"
import * as Result from "effect/Result"

/** EDGEPROXY_POSTGRES_URL can't be used. `detail` holds no value of the URL that could be a secret. */
export class PostgresUrlError extends Data.TaggedError("PostgresUrlError")<{ readonly detail: string }> {
  override get message(): string {
    return `EDGEPROXY_POSTGRES_URL: ${this.detail}`
  }
}

/** What `sslmode` means to libpq: https://www.postgresql.org/docs/current/libpq-ssl.html, table 32.1. */
export interface TlsSettings {
  readonly mode: "disable" | "prefer" | "require" | "verify-ca" | "verify-full"
  /** Paths of PEM files. No root: the authorities that Node trusts. */
  readonly rootCert: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly keyPassword: string | undefined
}

export interface PostgresUrl {
  /** A host name, an address, or the path of a Unix socket. */
  readonly connectTo: { readonly host: string; readonly port: number } | { readonly path: string }
  /** `host:port/database`: what may be shown. */
  readonly target: string
  readonly tls: TlsSettings
  readonly namesItself: boolean
  /** Parameters that are neither used here nor by the driver. */
  readonly ignored: ReadonlyArray<string>
}

const used = new Set(
  "host port user password dbname application_name options sslmode sslrootcert sslcert sslkey sslpassword".split(" ")
)

/** Whoever asks for these would believe that they are in force. A value that asks for nothing is let through. */
const refused: Readonly<Record<string, ReadonlyArray<string>>> = {
  channel_binding: ["disable", "prefer"],
  gssencmode: ["disable", "prefer"],
  sslnegotiation: ["postgres"],
  require_auth: [""],
  requirepeer: [""],
  sslcrl: [""],
  sslcrldir: [""],
  target_session_attrs: ["any"]
}

const modes: Readonly<Record<string, TlsSettings["mode"]>> = {
  disable: "disable",
  allow: "prefer",
  prefer: "prefer",
  require: "require",
  "verify-ca": "verify-ca",
  "verify-full": "verify-full"
}

const bad = (detail: string): Result.Result<never, PostgresUrlError> => Result.fail(new PostgresUrlError({ detail }))

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Reads what the driver does not: where to connect, and how to secure it. */
export const parsePostgresUrl = (text: string): Result.Result<PostgresUrl, PostgresUrlError> => {
  const url = URL.parse(text)
  if (url === null) return bad("it can't be read as a URL; several hosts in one are not supported")
  const params = url.searchParams
  for (const [name, harmless] of Object.entries(refused)) {
    const value = params.get(name)
    if (value !== null && !harmless.includes(value)) return bad(`${name} is not supported`)
  }
  const host = params.get("host") ?? (decoded(url.hostname).replace(/^\[(.*)\]$/, "$1") || "localhost")
  if (host.includes(",")) return bad("several hosts are not supported")
  const port = Number(params.get("port") ?? (url.port || "5432"))
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return bad("its port is none")
  const unix = host.startsWith("/")

  const rootCert = params.get("sslrootcert") ?? undefined
  const asked = params.get("sslmode") ?? (rootCert === "system" ? "verify-full" : "prefer")
  const mode = modes[asked]
  if (mode === undefined) return bad("its sslmode is none of disable, allow, prefer, require, verify-ca, verify-full")
  if (rootCert === "system" && mode !== "verify-full") return bad("sslrootcert=system needs sslmode=verify-full")

  const database = params.get("dbname") ?? decoded(url.pathname.slice(1))
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`
  return Result.succeed({
    connectTo: unix ? { path: `${host}/.s.PGSQL.${port}` } : { host, port },
    target: database === "" ? where : `${where}/${database}`,
    tls: {
      // A root certificate is there to be used: `require` then verifies, as with libpq.
      mode: unix ? "disable" : mode === "require" && rootCert !== undefined ? "verify-ca" : mode,
      rootCert: rootCert === "system" ? undefined : rootCert,
      cert: params.get("sslcert") ?? undefined,
      key: params.get("sslkey") ?? undefined,
      keyPassword: params.get("sslpassword") ?? undefined
    },
    namesItself: params.has("application_name"),
    ignored: [...new Set(params.keys())].filter((name) => !used.has(name) && !Object.hasOwn(refused, name))
  })
}
