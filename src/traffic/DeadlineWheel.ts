/** What can wait in a wheel; the field belongs to the wheel. */
export interface Waiting {
  /** The tick it is due at; 0 when it is in no wheel. */
  dueTick: number
}

/**
 * Coarse deadlines for many connections at the cost of a few operations each: an item is looked at when its time has come,
 * never early, at most one tick late. Whoever is woken looks at the clock and may wait on, so a deadline that moves
 * away with every byte costs nothing until it is due.
 */
export interface DeadlineWheel<A extends Waiting> {
  /** Wakes the item at `at` (ms) or, if it already waits for an earlier time, then. */
  readonly wakeAt: (item: A, at: number) => void
  readonly cancel: (item: A) => void
  /** Calls `due` for every item whose time has come by `now` (ms, not before the last call's). */
  readonly advance: (now: number, due: (item: A) => void) => void
}

const SLOTS = 512

export const make = <A extends Waiting>(tickMs: number, start: number): DeadlineWheel<A> => {
  const slots: Array<Array<A>> = Array.from({ length: SLOTS }, () => [])
  // Ticks count from 1, so that 0 can mean "not waiting".
  const tickOf = (ms: number): number => Math.floor((ms - start) / tickMs) + 1
  let current = tickOf(start)

  return {
    wakeAt: (item, at) => {
      const tick = Math.max(tickOf(at) + 1, current + 1)
      if (item.dueTick !== 0 && item.dueTick <= tick) return
      item.dueTick = tick
      slots[tick % SLOTS]?.push(item)
    },
    cancel: (item) => {
      // Its place in the slot is stale from now on and is dropped when the slot comes round.
      item.dueTick = 0
    },
    advance: (now, due) => {
      const target = tickOf(now)
      while (current < target) {
        current++
        const slot = current % SLOTS
        const items = slots[slot] ?? []
        slots[slot] = []
        for (const item of items) {
          if (item.dueTick === current) {
            item.dueTick = 0
            due(item)
          } else if (item.dueTick > current && item.dueTick % SLOTS === slot) {
            slots[slot]?.push(item)
          }
        }
      }
    }
  }
}
