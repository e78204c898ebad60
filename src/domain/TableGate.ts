/** Tables smaller than this are never held: with three backends, removing two is ordinary work. */
const GATE_MINIMUM = 4

/** What an update would do to the backends in rotation: how many there are, how many it removes or turns off. */
export interface Shrink {
  readonly eligible: number
  readonly lost: number
}

/** True when the update removes more than `maxShrink` (0 to 1) of at least four eligible backends (T5). */
export const mustHold = (shrink: Shrink, maxShrink: number): boolean =>
  shrink.eligible >= GATE_MINIMUM && shrink.lost > shrink.eligible * maxShrink
