import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import { type Country, countryFromText, Region } from "./Region.ts"

/** One backend as the routing table wants it: desired state, nothing observed. */
export interface Backend {
  readonly id: string
  readonly app: string
  readonly region: Region
  /** None: it can match a client by region only (R3). */
  readonly country: Country | undefined
  /** Canonical IPv4 or IPv6 literal; a host's name where `named` says so. */
  readonly address: string
  /** Its address is the name of a host, which is looked up: what that leads to is dialled, this never (R9). */
  readonly named?: true
  /** Of one of the addresses of a host that a row names: the row's id. Its own has the address behind a `#`. */
  readonly row?: string
  /** Of the same: the name that TLS asks for and verifies, where none is configured. */
  readonly host?: string
  readonly port: number
  /** What the operator says, not what checks see. */
  readonly healthy: boolean
  /** An operator has it emptied: no new connection, bound clients are sent elsewhere (H6). */
  readonly draining: boolean
  /** It had registered and is not heard of any more (D2). */
  readonly expired: boolean
  /** Share of new clients; 0 takes none but keeps serving its bound ones (R4). */
  readonly weight: number
  /** Comfortable number of connections, the divisor of the load (R1); at least 1. */
  readonly softLimit: number
  /** Most connections and reservations at once (R5); Infinity when the row says 0. */
  readonly hardLimit: number
}

/** A row as a driver hands it over: the column names of the `backends` table, values untrusted. */
export type BackendRow = Readonly<Record<string, unknown>>

/** What one row says (R9): a backend, a deleted one that is as good as absent, or why it can't be used. */
export type DecodedRow =
  | { readonly _tag: "Backend"; readonly backend: Backend }
  | { readonly _tag: "Deleted" }
  | { readonly _tag: "Bad"; readonly id: string; readonly reason: string }

const MAX_NAME_BYTES = 128
const MAX_LIMIT = 10_000_000
const MAX_WEIGHT = 1_000

// Control, format, surrogate and unassigned characters, line and paragraph separators.
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/u
const encoder = new TextEncoder()

const name = Schema.String.check(
  Schema.makeFilter((text: string) => {
    if (text.length > MAX_NAME_BYTES || encoder.encode(text).length > MAX_NAME_BYTES) {
      return `expected at most ${MAX_NAME_BYTES} bytes`
    }
    return !unprintable.test(text) || "expected printable text"
  })
)

const integer = (minimum: number, maximum: number) => {
  const expected = `an integer from ${minimum} to ${maximum}`
  return Schema.Int.annotate({ expected }).check(Schema.isBetween({ minimum, maximum }, { expected }))
}

const orNull = <S extends Schema.Top>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** A driver may deliver a flag as 0/1 or, where the database has them, as a boolean. */
const flag = Schema.Union([Schema.Boolean, Schema.Int])

const RowSchema = Schema.Struct({
  id: name.check(Schema.isMinLength(1, { expected: "a name that is not empty" })),
  app: orNull(name),
  region: Region,
  country: orNull(Schema.String),
  wg_ip: Schema.String,
  port: integer(1, 65_535),
  healthy: orNull(flag),
  weight: orNull(integer(0, MAX_WEIGHT)),
  soft_limit: orNull(integer(0, MAX_LIMIT)),
  hard_limit: orNull(integer(0, MAX_LIMIT)),
  deleted: orNull(flag)
})

const decodeRow = Schema.decodeUnknownResult(RowSchema, { errors: "all" })
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The columns a source asks for. */
export const backendColumns = Object.keys(RowSchema.fields) as ReadonlyArray<keyof typeof RowSchema.fields>

/** Those of them that every table must have; the others may be missing from a foreign one (T4). */
export const requiredColumns = ["id", "region", "wg_ip", "port"] as const

const show = (value: unknown): string => {
  if (value instanceof Uint8Array) return "a blob"
  if ((typeof value === "object" && value !== null) || typeof value === "function") return "an object"
  const text = typeof value === "string" ? JSON.stringify(value) : String(value)
  return text.length > 40 ? `${text.slice(0, 40)}...` : text
}

const bad = (row: BackendRow, reason: string): DecodedRow => ({ _tag: "Bad", id: show(row["id"]), reason })

// 64-bit columns arrive as bigint; one too large for a number is out of every range here anyway.
const plain = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value)

type Address = Pick<Backend, "address" | "named">

/** Decodes the address of a backend: a literal that one host can have, or a host's name. */
const addressOf = (text: string): Result.Result<Address, string> =>
  Result.match(Host.domainNameFromString(text), {
    onSuccess: (name) => Result.succeed({ address: Host.toRelative(name), named: true }),
    onFailure: () => Result.map(hostLiteral(text), (address): Address => ({ address }))
  })

/** Canonical text of an address that one host can have; fails with what was expected. */
export const hostLiteral = (text: string): Result.Result<string, string> => {
  const zone = text.indexOf("%")
  const parsed = NetAddress.ipFromString(zone < 0 ? text : text.slice(0, zone))
  if (Result.isFailure(parsed)) return Result.fail("an IPv4 or IPv6 address, or the name of a host")
  const ip = NetAddress.toCanonical(parsed.success)
  // What is good on one link only needs a zone, whose name is good on one host only.
  if (zone >= 0 || (NetAddress.isIpv6Address(ip) && NetAddress.isLinkLocal(ip))) {
    return Result.fail("an address without zone (%) that is not link-local")
  }
  if (
    NetAddress.isUnspecified(ip) ||
    NetAddress.isMulticast(ip) ||
    (NetAddress.isIpv4Address(ip) && NetAddress.isBroadcast(ip))
  ) {
    return Result.fail("the address of one host")
  }
  return Result.succeed(NetAddress.formatIp(ip))
}

/** What the addresses of a named host are called (`db#10.0.0.1`, `db#[fd00::1]:5432`) is nobody else's name. */
const memberName = /#\[?[0-9a-f]*[.:][0-9a-f.:\]]*$/i

const isSet = (value: unknown): boolean => value === true || (typeof value === "number" && value !== 0)

/** Decodes one row on its own, so that a bad row costs itself only (R9). Never throws. */
export const decodeBackend = (raw: BackendRow): DecodedRow => {
  const row: Record<string, unknown> = {}
  for (const column of backendColumns) row[column] = plain(raw[column])
  if (isSet(row["deleted"])) return { _tag: "Deleted" }
  if (typeof row["region"] === "string") row["region"] = row["region"].toLowerCase()

  const decoded = decodeRow(row)
  if (Result.isFailure(decoded)) {
    const { issues } = formatIssue(decoded.failure.issue)
    const reasons = issues.map((issue) => {
      const column = String(issue.path?.[0] ?? "row")
      return `${column}: ${issue.message}, got ${show(raw[column])}`
    })
    return bad(raw, [...new Set(reasons)].join("; "))
  }
  const fields = decoded.success

  if (memberName.test(fields.id)) return bad(raw, `id: Expected no # and address at its end, got ${show(fields.id)}`)
  const address = addressOf(fields.wg_ip)
  if (Result.isFailure(address)) return bad(raw, `wg_ip: Expected ${address.failure}, got ${show(fields.wg_ip)}`)

  const countryText = fields.country ?? ""
  const country = countryText.trim() === "" ? undefined : countryFromText(countryText)
  if (country === undefined && countryText.trim() !== "") {
    return bad(raw, `country: Expected an ISO 3166 code of two letters, got ${show(countryText)}`)
  }

  const hardLimit = fields.hard_limit ?? 150
  return {
    _tag: "Backend",
    backend: {
      id: fields.id,
      app: fields.app ?? "",
      region: fields.region,
      country,
      ...address.success,
      port: fields.port,
      healthy: Boolean(fields.healthy ?? true),
      // Of stored tables; sources have them in rows of their own.
      draining: isSet(raw["draining"]),
      expired: isSet(raw["expired"]),
      weight: fields.weight ?? 1,
      softLimit: Math.max(1, fields.soft_limit ?? 100),
      hardLimit: hardLimit === 0 ? Infinity : hardLimit
    }
  }
}

/** The row that decodes to this backend; what a snapshot on disk holds. */
export const encodeBackend = (backend: Backend): BackendRow => ({
  id: backend.id,
  app: backend.app,
  region: backend.region,
  country: backend.country ?? null,
  wg_ip: backend.address,
  port: backend.port,
  healthy: backend.healthy ? 1 : 0,
  draining: backend.draining ? 1 : 0,
  expired: backend.expired ? 1 : 0,
  weight: backend.weight,
  soft_limit: backend.softLimit,
  hard_limit: backend.hardLimit === Infinity ? 0 : backend.hardLimit
})

/** The table lets it carry connections, whatever checks see. */
export const isInRotation = (backend: Backend): boolean => backend.healthy && !backend.draining && !backend.expired

/** The backend as its state has it. */
export const withState = (
  backend: Backend,
  { draining, expired }: { readonly draining: boolean; readonly expired: boolean }
): Backend =>
  backend.draining === draining && backend.expired === expired ? backend : { ...backend, draining, expired }

/** Same in every field. */
export const sameBackend = (a: Backend, b: Backend): boolean =>
  a.id === b.id &&
  a.app === b.app &&
  a.region === b.region &&
  a.country === b.country &&
  a.address === b.address &&
  a.row === b.row &&
  a.host === b.host &&
  a.port === b.port &&
  a.healthy === b.healthy &&
  a.draining === b.draining &&
  a.expired === b.expired &&
  a.weight === b.weight &&
  a.softLimit === b.softLimit &&
  a.hardLimit === b.hardLimit
