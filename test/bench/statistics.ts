/** The value below which a share `q` of the values lies; NaN when there are none. */
export const quantile = (values: Iterable<number>, q: number): number => {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** The middle value, or the mean of the two in the middle; what could not be measured (NaN) is left out. */
export const median = (values: Iterable<number>): number => {
  const sorted = Float64Array.from(values)
    .filter((value) => !Number.isNaN(value))
    .sort()
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** The median of a/b taken round by round: what slows the machine for a moment slows both. */
export const medianRatio = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
  median(a.map((value, round) => value / (b[round] ?? Number.NaN)))

/** The list turned by so many places, so that in no round the same one is always first. */
export const turned = <A>(list: ReadonlyArray<A>, by: number): ReadonlyArray<A> => {
  const at = list.length === 0 ? 0 : by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}
