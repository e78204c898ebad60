/** What active checks make of a backend (H1). */
export interface Health {
  readonly up: boolean
  /** Results in a row that speak against `up`. */
  readonly against: number
}

export interface HealthOptions {
  /** Successes in a row that bring one back. */
  readonly rise: number
  /** Failures in a row that take one out. */
  readonly fall: number
}

/** A new backend may serve at once. */
export const initial: Health = { up: true, against: 0 }

export const step = (health: Health, passed: boolean, { fall, rise }: HealthOptions): Health => {
  if (passed === health.up) return health.against === 0 ? health : { up: health.up, against: 0 }
  const against = health.against + 1
  return against >= (health.up ? fall : rise) ? { up: passed, against: 0 } : { up: health.up, against }
}

/** It may be about to change: the next check need not wait for its time. */
export const isChanging = ({ against }: Health): boolean => against > 0
