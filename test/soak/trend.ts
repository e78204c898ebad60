/** A line through a series, by least squares. */
export interface Slope {
  /** Units of the series an hour. */
  readonly perHour: number
  /** Its standard error, as if one value did not depend on the one before. */
  readonly error: number
}

export interface Point {
  readonly ms: number
  readonly value: number
}

const HOUR_MS = 3_600_000

/** NaN for fewer than three points. */
export const slopeOf = (points: ReadonlyArray<Point>): Slope => {
  const count = points.length
  if (count < 3) return { perHour: Number.NaN, error: Number.NaN }
  const mean = (of: (point: Point) => number): number => points.reduce((sum, point) => sum + of(point), 0) / count
  const [middle, level] = [mean(({ ms }) => ms), mean(({ value }) => value)]
  const spread = points.reduce((sum, { ms }) => sum + (ms - middle) ** 2, 0)
  const slope = points.reduce((sum, { ms, value }) => sum + (ms - middle) * (value - level), 0) / spread
  const squares = points.reduce((sum, { ms, value }) => sum + (value - level - slope * (ms - middle)) ** 2, 0)
  return { perHour: slope * HOUR_MS, error: Math.sqrt(squares / (count - 2) / spread) * HOUR_MS }
}

/**
 * The lowest value of each stretch of so many milliseconds: what is left when garbage has been collected, and when the
 * connections of the moment are fewest. A stretch that the series only begins is left out.
 */
export const lows = (points: ReadonlyArray<Point>, stretchMs: number): ReadonlyArray<Point> => {
  const start = points[0]?.ms ?? 0
  const last = points.at(-1)?.ms ?? 0
  const lowest = new Map<number, Point>()
  for (const point of points) {
    const stretch = Math.floor((point.ms - start) / stretchMs)
    const known = lowest.get(stretch)
    if (known === undefined || point.value < known.value) lowest.set(stretch, point)
  }
  return Array.from(lowest)
    .filter(([stretch]) => start + (stretch + 1) * stretchMs <= last + stretchMs / 10)
    .map(([, point]) => point)
}

/** It rises by more than `limit` an hour, and by more than chance explains. */
export const rises = ({ error, perHour }: Slope, limit: number): boolean => perHour > limit && perHour > 2 * error
