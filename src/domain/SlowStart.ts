/** A backend that comes up begins with this part of its weight. */
export const FIRST_SHARE = 0.1

/** The part of its weight that counts so long after it came up: from a tenth, straight up to all of it. */
export const shareAfter = (elapsedMs: number, slowStartMs: number): number =>
  elapsedMs >= slowStartMs ? 1 : Math.max(FIRST_SHARE, elapsedMs / slowStartMs)
