/** How fast one may go on, and how much at once (H4). */
export interface Rate {
  /** Tokens that a full bucket has; at least 1. */
  readonly burst: number
  readonly perMs: number
}

/**
 * A token bucket in one number, so that a table of them needs no objects: the time at which it will be full again if
 * nothing more is taken (as in the generic cell rate algorithm, ITU-T I.371). A time that has passed is a full bucket.
 */
export type FullAt = number

// The sum of many intervals is off by the last bits of a double; that must not cost a token.
const ROUNDING = 1e-6

export const tokensAt = (fullAt: FullAt, { burst, perMs }: Rate, now: number): number =>
  burst - Math.max(0, fullAt - now) * perMs

const hasOne = (tokens: number): boolean => tokens >= 1 - ROUNDING

/** Takes one; undefined when there is none, and then nothing changes. */
export const take = (fullAt: FullAt, rate: Rate, now: number): FullAt | undefined =>
  hasOne(tokensAt(fullAt, rate, now)) ? Math.max(now, fullAt) + 1 / rate.perMs : undefined

/** Milliseconds until there is one. */
export const waitMs = (fullAt: FullAt, rate: Rate, now: number): number => {
  const tokens = tokensAt(fullAt, rate, now)
  return hasOne(tokens) ? 0 : (1 - tokens) / rate.perMs
}

/** The same bucket under another rate: what was taken stays taken, as far as the new bucket is that deep. */
export const convert = (fullAt: FullAt, from: Rate, to: Rate, now: number): FullAt =>
  now + Math.min(to.burst, Math.max(0, fullAt - now) * from.perMs) / to.perMs
