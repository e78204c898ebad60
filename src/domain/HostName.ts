import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"

const MAX_NAME = 253
const MAX_LABEL = 63

const HYPHEN = 0x2d
const DOT = 0x2e
const UNDERSCORE = 0x5f

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39

const isLetter = (code: number): boolean => (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a

/**
 * A host name as a peer has sent it, in lower case and without the final dot: labels of 1 to 63 letters, digits, hyphens
 * (not at an end, RFC 1123) and underscores (which names in use have), 253 bytes in all. Internationalised names are taken
 * in their ASCII form only (`xn--`, RFC 5890). Undefined when the bytes are no such name; an IPv4 address is none either.
 */
export const hostNameFromBytes = (bytes: Uint8Array): string | undefined => {
  const length = bytes.at(-1) === DOT ? bytes.length - 1 : bytes.length
  if (length === 0 || length > MAX_NAME) return undefined
  let name = ""
  let labelAt = 0
  let numeric = true
  for (let at = 0; at <= length; at++) {
    const code = at === length ? DOT : (bytes[at] ?? 0)
    if (code === DOT) {
      const long = at - labelAt
      if (long === 0 || long > MAX_LABEL || bytes[labelAt] === HYPHEN || bytes[at - 1] === HYPHEN) return undefined
      if (at === length) break
      labelAt = at + 1
      numeric = true
    } else if (!isDigit(code)) {
      if (!isLetter(code) && code !== HYPHEN && code !== UNDERSCORE) return undefined
      numeric = false
    }
    name += String.fromCharCode(isLetter(code) ? code | 0x20 : code)
  }
  // Of all names only addresses end in a number.
  return numeric ? undefined : name
}

/** Text that is an IPv4 or IPv6 address, which a client must not send as a host name (RFC 6066) and some do. */
export const isAddress = (bytes: Uint8Array): boolean =>
  bytes.length <= 45 && Result.isSuccess(NetAddress.ipFromString(String.fromCharCode(...bytes)))
