import { type ClientKey, firstWord } from "../domain/Client.ts"
import { combine } from "../domain/Hash.ts"
import * as TokenBucket from "../domain/TokenBucket.ts"

export interface RateLimitOptions {
  /** Makes the places of clients in the table a secret, so that nobody can crowd out a chosen one. */
  readonly seed: number
  /** Clients that can be remembered at once; rounded up to a power of two. */
  readonly clients?: number
}

/**
 * A token bucket for each client key (H4), in 16 bytes each and never more than the table has from the start.
 *
 * What a bucket remembers is what has been taken and not come back yet. So a full one is forgotten at no loss, and when
 * there is no place for another client, the fullest of those that share its set goes: whoever has taken least gains least
 * by being forgotten. A stream of ever new addresses, each with a connection or two, replaces itself and leaves the empty
 * buckets of those who flood where they are; to have them forgotten it would have to empty as many others as the table
 * holds, before they refill. Nobody is refused because the table is full.
 */
export interface RateLimit {
  /** Takes a token of this client; false when it has none. Milliseconds that never fall. */
  readonly take: (key: ClientKey, now: number) => boolean
  /** Whether `take` would; nothing changes. */
  readonly has: (key: ClientKey, now: number) => boolean
  /** What has been taken stays taken. */
  readonly setRate: (rate: TokenBucket.Rate, now: number) => void
  /** Buckets that were forgotten before they were full again. */
  readonly forgotten: () => number
  readonly bytes: number
}

const CLIENTS = 131_072

/** Places of a set: a client's bucket is in one of them. They fit into two cache lines. */
const WAYS = 8

export const make = (initial: TokenBucket.Rate, { clients = CLIENTS, seed }: RateLimitOptions): RateLimit => {
  const sets = 2 ** Math.ceil(Math.log2(Math.max(1, clients / WAYS)))
  const his = new Uint32Array(sets * WAYS)
  const los = new Uint32Array(sets * WAYS)
  const fullAts = new Float64Array(sets * WAYS).fill(-Infinity)
  let rate = initial
  let forgotten = 0

  const setOf = (hi: number, lo: number): number => (combine(combine(seed, hi), lo) & (sets - 1)) * WAYS

  const find = (set: number, hi: number, lo: number): number => {
    for (let at = set; at < set + WAYS; at++) if (los[at] === lo && his[at] === hi) return at
    return -1
  }

  const fullest = (set: number): number => {
    let found = set
    for (let at = set + 1; at < set + WAYS; at++) if ((fullAts[at] ?? 0) < (fullAts[found] ?? 0)) found = at
    return found
  }

  return {
    take: (key, now) => {
      const hi = firstWord(key)
      const set = setOf(hi, key.lo)
      let at = find(set, hi, key.lo)
      if (at < 0) {
        at = fullest(set)
        if ((fullAts[at] ?? 0) > now) forgotten++
        his[at] = hi
        los[at] = key.lo
        fullAts[at] = -Infinity
      }
      const taken = TokenBucket.take(fullAts[at] ?? 0, rate, now)
      if (taken === undefined) return false
      fullAts[at] = taken
      return true
    },
    has: (key, now) => {
      const hi = firstWord(key)
      const at = find(setOf(hi, key.lo), hi, key.lo)
      return at < 0 || TokenBucket.take(fullAts[at] ?? 0, rate, now) !== undefined
    },
    setRate: (to, now) => {
      for (const [at, fullAt] of fullAts.entries()) fullAts[at] = TokenBucket.convert(fullAt, rate, to, now)
      rate = to
    },
    forgotten: () => forgotten,
    bytes: his.byteLength + los.byteLength + fullAts.byteLength
  }
}
