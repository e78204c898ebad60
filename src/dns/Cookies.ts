import { sipHash } from "../domain/SipHash.ts"

/**
 * DNS cookies (RFC 7873) as all servers can make them (RFC 9018): who has one that was made for its address did receive an
 * answer here, so its source is not forged.
 */
export interface Cookies {
  /** The whole option to answer with: the client's part and one of this server. */
  readonly make: (cookie: Uint8Array, address: Uint8Array, nowSecs: number) => Uint8Array
  /** The server's part was made here for this client, not too long ago. */
  readonly isValid: (cookie: Uint8Array, address: Uint8Array, nowSecs: number) => boolean
}

const CLIENT_BYTES = 8
const COOKIE_BYTES = 24
const VERSION = 1
/** RFC 9018, 4.3: an hour back, five minutes ahead for clocks that differ. */
const MAX_AGE_SECS = 3_600
const MAX_AHEAD_SECS = 300
/** Before a cookie gets this old, the client gets another. */
const RENEW_SECS = 1_800

/** Seconds since it was made; the time on the wire wraps around, as do serials. */
const ageOf = (cookie: Uint8Array, nowSecs: number): number =>
  (nowSecs - new DataView(cookie.buffer, cookie.byteOffset).getUint32(12)) | 0

/** `secret`: 16 random bytes, the same for all servers that share an address. */
export const make = (secret: Uint8Array): Cookies => {
  /** Of the client's part, version, reserved bytes, time and address. */
  const sign = (bytes: Uint8Array, address: Uint8Array): Uint8Array => {
    const message = new Uint8Array(16 + address.length)
    message.set(bytes.subarray(0, 16))
    message.set(address, 16)
    return sipHash(secret, message)
  }

  const isValid = (cookie: Uint8Array, address: Uint8Array, nowSecs: number): boolean => {
    if (cookie.length !== COOKIE_BYTES || cookie[CLIENT_BYTES] !== VERSION) return false
    const age = ageOf(cookie, nowSecs)
    if (age > MAX_AGE_SECS || age < -MAX_AHEAD_SECS) return false
    const hash = sign(cookie, address)
    let difference = 0
    for (const [at, byte] of hash.entries()) difference |= byte ^ (cookie[16 + at] ?? 0)
    return difference === 0
  }

  return {
    isValid,
    make: (cookie, address, nowSecs) => {
      if (isValid(cookie, address, nowSecs) && ageOf(cookie, nowSecs) < RENEW_SECS) return cookie
      const made = new Uint8Array(COOKIE_BYTES)
      made.set(cookie.subarray(0, CLIENT_BYTES))
      made[CLIENT_BYTES] = VERSION
      new DataView(made.buffer).setUint32(12, nowSecs)
      made.set(sign(made, address), 16)
      return made
    }
  }
}
