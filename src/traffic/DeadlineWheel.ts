/** What can wait in a wheel; the fields belong to the wheel. */
export interface Waiting {
  /** The tick it is due at; 0 when it is in no wheel. */
  dueTick: number
  place?: Place | undefined
}

/**
 * Its place in a slot. An item that waits no more leaves an empty place behind, and not itself: slots come round only after
 * many seconds, and a thousand ended connections a second would be kept from the garbage collector until then.
 */
interface Place {
  item: Waiting | undefined
  readonly tick: number
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
  const slots: Array<Array<Place>> = Array.from({ length: SLOTS }, () => [])
  // Ticks count from 1, so that 0 can mean "not waiting".
  const tickOf = (ms: number): number => Math.floor((ms - start) / tickMs) + 1
  let current = tickOf(start)

  const leave = (item: Waiting): void => {
    if (item.place !== undefined) item.place.item = undefined
    item.place = undefined
    item.dueTick = 0
  }

  return {
    wakeAt: (item, at) => {
      const tick = Math.max(tickOf(at) + 1, current + 1)
      if (item.dueTick !== 0 && item.dueTick <= tick) return
      leave(item)
      const place: Place = { item, tick }
      item.place = place
      item.dueTick = tick
      slots[tick % SLOTS]?.push(place)
    },
    cancel: leave,
    advance: (now, due) => {
      const target = tickOf(now)
      while (current < target) {
        current++
        const slot = current % SLOTS
        const places = slots[slot] ?? []
        slots[slot] = []
        for (const place of places) {
          const { item } = place
          if (item === undefined) continue
          if (place.tick > current) slots[slot]?.push(place)
          else {
            leave(item)
            // Only items of type A are ever put in.
            due(item as A)
          }
        }
      }
    }
  }
}
