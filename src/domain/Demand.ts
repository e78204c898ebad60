/**
 * How many connections a backend's clients lately opened within one second: what there should be of connections opened
 * ahead, since one that is used takes about the time of a dial to be replaced. Times are milliseconds of one clock.
 */
export interface Demand {
  /** The second that is counted began here. */
  readonly secondAt: number
  readonly inSecond: number
  readonly windowAt: number
  /** The busiest second of this window and of the one before. */
  readonly busiest: number
  readonly before: number
}

const SECOND_MS = 1_000

export const none: Demand = { secondAt: -Infinity, inSecond: 0, windowAt: -Infinity, busiest: 0, before: 0 }

/** Windows that are over count no more, but for the last. */
const rolled = (demand: Demand, now: number, windowMs: number): Demand => {
  const past = now - demand.windowAt
  if (past < windowMs) return demand
  const before = past < 2 * windowMs ? demand.busiest : 0
  return { ...demand, windowAt: past < 2 * windowMs ? demand.windowAt + windowMs : now, busiest: 0, before }
}

/** One more connection. */
export const used = (demand: Demand, now: number, windowMs: number): Demand => {
  const { before, busiest, inSecond, secondAt, windowAt } = rolled(demand, now, windowMs)
  const same = now - secondAt < SECOND_MS
  const count = same ? inSecond + 1 : 1
  return { secondAt: same ? secondAt : now, inSecond: count, windowAt, busiest: Math.max(busiest, count), before }
}

/** Connections of the busiest second within the last window, or up to two of them; 0 when there were none. */
export const peak = (demand: Demand, now: number, windowMs: number): number => {
  const { before, busiest } = rolled(demand, now, windowMs)
  return Math.max(before, busiest)
}
