import * as TokenBucket from "../../src/domain/TokenBucket.ts"

/** A token bucket: `burst` at once, and what was taken comes back at `perSecond`. */
export interface Bucket {
  /** 0 when one was taken, else the seconds until there is one. `now` in milliseconds, never falling. */
  readonly take: (now: number) => number
}

export const make = (burst: number, perSecond: number): Bucket => {
  const rate: TokenBucket.Rate = { burst, perMs: perSecond / 1_000 }
  let fullAt: TokenBucket.FullAt = -Infinity
  return {
    take: (now) => {
      const taken = TokenBucket.take(fullAt, rate, now)
      if (taken === undefined) return TokenBucket.waitMs(fullAt, rate, now) / 1_000
      fullAt = taken
      return 0
    }
  }
}
