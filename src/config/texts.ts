import * as Result from "effect/Result"
import * as Host from "effect/net/Host"
import type { SniRoute } from "../domain/SniRoutes.ts"
import { codec, type Codec, list, maskUserInfo, pair } from "./Codec.ts"

// Control, format, surrogate and unassigned characters, line and paragraph separators.
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/u
const encoder = new TextEncoder()

const printable = (text: string, maxBytes: number): string | undefined =>
  text !== "" && encoder.encode(text).length <= maxBytes && !unprintable.test(text) ? text : undefined

const matching = (pattern: RegExp) => (text: string) => (pattern.test(text) ? text : undefined)

/** The name of an app, a POP or a service. */
export const name: Codec<string> = codec("1 to 128 bytes of printable text", (text) => printable(text.trim(), 128))

/** A name that a configuration of BIRD can give without quotes. */
export const symbol: Codec<string> = codec("1 to 64 letters, digits and _, no digit first", (text) =>
  matching(/^[A-Za-z_]\w{0,63}$/)(text.trim())
)

/** A file or socket path, relative to the working directory or absolute. */
export const path: Codec<string> = codec("a path of printable characters", (text) => printable(text, 4_095))

/** A token as it stands in an HTTP header. */
export const token: Codec<string> = codec("1 to 4096 visible ASCII characters", matching(/^[\x21-\x7e]{1,4096}$/))

/** The path of an HTTP request. */
export const urlPath: Codec<string> = codec("a path that starts with /", matching(/^\/[\x21-\x7e]*$/))

/** An absolute URL of one of these schemes, kept as written; encoded without user name and password. */
export const url = (...schemes: ReadonlyArray<string>): Codec<string> =>
  codec(
    `a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(" or ")}`,
    (text) => {
      const isOurs = schemes.some((scheme) => text.toLowerCase().startsWith(`${scheme}://`))
      return isOurs && URL.canParse(text) ? printable(text, 4_095) : undefined
    },
    maskUserInfo
  )

const domainName = (text: string): string | undefined => {
  const name = Host.domainNameFromString(text)
  return Result.isSuccess(name) && name.success !== "." ? Host.toRelative(name.success) : undefined
}

/** A DNS name, in lower case and without the final dot. */
export const domain: Codec<string> = codec("a DNS name", (text) => domainName(text.trim()))

/** A DNS name, or `*.` and one for every name below it. */
const domainPattern: Codec<string> = codec("a DNS name or *.name", (text) => {
  const wildcard = text.startsWith("*.") ? "*." : ""
  const base = domainName(text.slice(wildcard.length))
  return base === undefined ? undefined : wildcard + base
})

export const sniRoutes: Codec<ReadonlyArray<SniRoute>> = list(pair(domainPattern, name), {
  allowed: "name=app with commas between, such as db.example.com=pg,*.shop.example.com=shop",
  key: ([pattern]) => pattern
})

/** Protocol names for ALPN, best first. */
export const protocols: Codec<ReadonlyArray<string>> = list(
  codec("a protocol name", matching(/^[\x21-\x2b\x2d-\x7e]{1,255}$/)),
  { allowed: "protocol names with commas between, such as h2,http/1.1", key: (protocol) => protocol }
)

const key: Codec<string> = codec("key", matching(/^[\x21-\x2b\x2d-\x3a\x3c\x3e-\x7e]+$/))

const percentEncoded: Codec<string> = codec(
  "value",
  (text) => Result.getOrUndefined(Result.try(() => decodeURIComponent(text))),
  encodeURIComponent
)

/** `key=value` pairs with percent-encoded values, as OpenTelemetry's own variables have them (W3C Baggage). */
export const keyValues: Codec<ReadonlyArray<readonly [key: string, value: string]>> = list(pair(key, percentEncoded), {
  allowed: "key=value with commas between",
  key: ([key]) => key
})

const headerName: Codec<string> = codec("header", matching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/))

const headerValue: Codec<string> = codec(
  "value",
  (text) => {
    const value = Result.getOrUndefined(percentEncoded.decode(text))
    // What would end the header, and with it begin another.
    return value !== undefined && /^[\t\x20-\x7e\x80-\xff]*$/.test(value) ? value : undefined
  },
  encodeURIComponent
)

/** HTTP headers in the same writing. */
export const headerValues: Codec<ReadonlyArray<readonly [name: string, value: string]>> = list(
  pair(headerName, headerValue),
  { allowed: "header=value with commas between, values percent-encoded", key: ([name]) => name.toLowerCase() }
)
