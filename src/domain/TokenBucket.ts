/** A rate with room for bursts (H4). */
export interface Rate {
  /** Tokens that a full bucket has. */
  readonly burst: number
  readonly perMs: number
}

/** Two numbers, so that a table of a million needs no objects: tokens left, and when they were counted. */
export interface TokenBucket {
  readonly tokens: number
  readonly at: number
}

export const full = (rate: Rate, now: number): TokenBucket => ({ tokens: rate.burst, at: now })

/** Tokens at this time; a clock that goes back gives none. */
export const tokensAt = ({ at, tokens }: TokenBucket, { burst, perMs }: Rate, now: number): number =>
  Math.min(burst, tokens + Math.max(0, now - at) * perMs)

/** Takes one; undefined when there is none. */
export const take = (bucket: TokenBucket, rate: Rate, now: number): TokenBucket | undefined => {
  const tokens = tokensAt(bucket, rate, now)
  return tokens >= 1 ? { tokens: tokens - 1, at: Math.max(now, bucket.at) } : undefined
}

/** As good as one that was never used: it need not be kept. */
export const isFull = (bucket: TokenBucket, rate: Rate, now: number): boolean =>
  tokensAt(bucket, rate, now) >= rate.burst
