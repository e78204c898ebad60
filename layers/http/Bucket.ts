/** A token bucket: `burst` at once, and what was taken comes back at `perSecond`. */
export interface Bucket {
  /** 0 when one was taken, else the seconds until there is one. `now` in milliseconds, never falling. */
  readonly take: (now: number) => number
}

export const make = (burst: number, perSecond: number): Bucket => {
  let tokens = burst
  let at: number | undefined
  return {
    take: (now) => {
      tokens = Math.min(burst, tokens + ((now - (at ?? now)) / 1_000) * perSecond)
      at = now
      if (tokens < 1) return (1 - tokens) / perSecond
      tokens--
      return 0
    }
  }
}
