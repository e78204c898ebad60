import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Region, regions } from "../domain/Region.ts"
import type { TopologyProblem } from "./TopologyError.ts"

/** The file as it is written: every key, its type and its bounds. What the values mean together is judged later. */

const integer = (minimum: number, maximum: number) => {
  const expected = `an integer from ${minimum} to ${maximum}`
  return Schema.Int.annotate({ expected }).check(Schema.isBetween({ minimum, maximum }, { expected }))
}

const text = (pattern: RegExp, expected: string) =>
  Schema.String.annotate({ expected }).check(Schema.isPattern(pattern, { expected }))

const noMore = { messageUnexpectedKey: "no such key" }

/** A DNS label: it is a folder of the output, and stands in the comments of what a root shell reads. */
const hostName = text(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "1 to 63 of a-z, 0-9 and - (not first, not last)")

/** 32 bytes in base64: the last digit carries 4 bits, so two of them are 0. */
export const KEY_PATTERN = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/

const port = integer(1, 65_535)
const keepalive = integer(0, 65_535)

/** IPv6 asks for 1280; the kernel takes no more than fits a packet. */
const mtu = integer(1_280, 65_455)

const common = {
  name: hostName,
  region: Region,
  /** The last part of its addresses. */
  number: Schema.optionalKey(integer(1, 65_534)),
  address: Schema.optionalKey(Schema.String),
  address6: Schema.optionalKey(Schema.String),
  endpoint: Schema.optionalKey(Schema.String),
  nat: Schema.optionalKey(Schema.Boolean),
  listen_port: Schema.optionalKey(port),
  keepalive: Schema.optionalKey(keepalive),
  mtu: Schema.optionalKey(mtu),
  routes: Schema.optionalKey(Schema.Array(Schema.String)),
  public_key: Schema.optionalKey(text(KEY_PATTERN, "a WireGuard key: 44 characters of base64")),
  private_key_file: Schema.optionalKey(text(/^[^\p{C}]{1,4095}$/u, "a path of printable characters")),
  via: Schema.optionalKey(hostName)
}

const Pop = Schema.Struct({ ...common, hub: Schema.optionalKey(Schema.Boolean) }).annotate(noMore)
const Backend = Schema.Struct(common).annotate(noMore)

const shapes = ["hub-spoke", "full-mesh", "hierarchical"] as const
/** Who has a tunnel to whom. */
export type Shape = (typeof shapes)[number]

/** Region numbers of the address plan; 0 is that of the POPs. */
const regionNumbers = Schema.Struct({
  sa: Schema.optionalKey(integer(1, 255)),
  us: Schema.optionalKey(integer(1, 255)),
  eu: Schema.optionalKey(integer(1, 255)),
  ap: Schema.optionalKey(integer(1, 255))
}).annotate(noMore)

const Settings = Schema.Struct({
  topology: Schema.Literals(shapes),
  ipv4: Schema.optionalKey(Schema.String),
  ipv6: Schema.optionalKey(Schema.String),
  regions: Schema.optionalKey(regionNumbers),
  interface: Schema.optionalKey(
    text(/^[A-Za-z0-9_=+.-]{1,15}$/, "an interface name: 1 to 15 of A-Z a-z 0-9 _ = + . -")
  ),
  port: Schema.optionalKey(port),
  mtu: Schema.optionalKey(mtu),
  keepalive: Schema.optionalKey(keepalive),
  preshared_keys: Schema.optionalKey(Schema.Boolean),
  /** Where hosts have the private key that belongs to a `public_key`. Read by a root shell, so no character of its own. */
  private_key_path: Schema.optionalKey(
    text(/^\/[A-Za-z0-9_.%/-]{1,200}$/, "an absolute path of A-Z a-z 0-9 _ . % / -")
  ),
  pop: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  backend: Schema.optionalKey(Schema.Array(Schema.Unknown))
}).annotate(noMore)

export type Settings = typeof Settings.Type

/** One host as written, and where. */
export interface HostEntry {
  readonly kind: "pop" | "backend"
  /** `pop[0]`. */
  readonly path: string
  readonly given: typeof Pop.Type
}

/** What of a file could be read. `settings` is undefined when they could not. */
export interface Document {
  readonly settings: Settings | undefined
  readonly entries: ReadonlyArray<HostEntry>
  readonly problems: ReadonlyArray<TopologyProblem>
}

const strict = { errors: "all", onExcessProperty: "error" } as const
const decodeSettings = Schema.decodeUnknownResult(Settings, strict)
const decoders = {
  pop: Schema.decodeUnknownResult(Pop, strict),
  backend: Schema.decodeUnknownResult(Backend, strict)
}
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** `a[0].b` of path segments. */
const pathOf = (at: string, parts: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>): string =>
  parts.reduce<string>((path, part) => {
    const key = typeof part === "object" ? part.key : part
    if (typeof key === "number") return `${path}[${key}]`
    return path === "" ? String(key) : `${path}.${String(key)}`
  }, at)

/** The path of a host's key, with the name it goes by. */
export const hostPath = (path: string, name: unknown, key = ""): string =>
  `${path}${key === "" ? "" : `.${key}`}${typeof name === "string" ? ` (${name})` : ""}`

const nameOf = (raw: unknown): unknown =>
  typeof raw === "object" && raw !== null && "name" in raw ? raw.name : undefined

const problemsOf = (error: Schema.SchemaError, at: string, name?: unknown): ReadonlyArray<TopologyProblem> =>
  formatIssue(error.issue).issues.map(({ message, path }) => ({
    path: hostPath(pathOf(at, path ?? []) || "the file", name),
    message
  }))

/** Reads settings and hosts apart from each other, so that what is wrong in one hides nothing that is wrong in another. */
export const decodeDocument = (raw: unknown): Document => {
  const problems: Array<TopologyProblem> = []
  const decoded = decodeSettings(raw)
  if (Result.isFailure(decoded)) problems.push(...problemsOf(decoded.failure, ""))

  const entries = (["pop", "backend"] as const).flatMap((kind): ReadonlyArray<HostEntry> => {
    const list: unknown =
      typeof raw === "object" && raw !== null ? Object.entries(raw).find(([key]) => key === kind)?.[1] : undefined
    if (!Array.isArray(list)) return []
    return list.flatMap((each: unknown, index) => {
      const path = `${kind}[${index}]`
      const host = decoders[kind](each)
      if (Result.isSuccess(host)) return [{ kind, path, given: host.success }]
      problems.push(...problemsOf(host.failure, path, nameOf(each)))
      return []
    })
  })
  return { settings: Result.getOrUndefined(decoded), entries, problems }
}

/** Region numbers of the plan where the file gives none. */
export const usualRegionNumbers: Readonly<Record<Region, number>> = Object.fromEntries(
  regions.map((region, index) => [region, index + 1])
  // Every region is a key.
) as Record<Region, number>
