/**
 * Coarse deadlines for numbered slots, in typed arrays: a slot is looked at when its time has come, never early, at most one
 * tick late. Whoever is woken looks at the clock and may wait on, so a deadline that moves away with every byte costs nothing
 * until it is due.
 */
export interface SlotWheel {
  /** Wakes the slot at `at` (ms) or, if it already waits for an earlier time, then. */
  readonly wakeAt: (slot: number, at: number) => void
  readonly cancel: (slot: number) => void
  /** Calls `due` for every slot whose time has come by `now` (ms, not before the last call's). */
  readonly advance: (now: number, due: (slot: number) => void) => void
}

const SPOKES = 512

export const make = (slots: number, tickMs: number, start: number): SlotWheel => {
  // Doubly linked lists of entries: 0 is none, then the slots, the head of each spoke, and the head of what is due now. Zero
  // means nothing everywhere, so that memory of slots that were never used is never touched.
  const due = slots + SPOKES + 1
  const next = new Int32Array(due + 1)
  const previous = new Int32Array(due + 1)
  const dueTick = new Int32Array(slots + 1)
  const headOf = (tick: number): number => slots + 1 + (tick % SPOKES)
  const tickOf = (ms: number): number => Math.floor((ms - start) / tickMs) + 1
  let current = tickOf(start)

  const link = (entry: number, head: number): void => {
    const first = next[head] ?? 0
    next[entry] = first
    previous[entry] = head
    if (first !== 0) previous[first] = entry
    next[head] = entry
  }
  const unlink = (entry: number): void => {
    const after = next[entry] ?? 0
    const before = previous[entry] ?? 0
    next[before] = after
    if (after !== 0) previous[after] = before
  }

  return {
    wakeAt: (slot, at) => {
      const entry = slot + 1
      // Further away than the counter goes is as good as never: it is looked at then.
      const tick = Math.min(Math.max(tickOf(at) + 1, current + 1), 0x7fff_ffff)
      const waits = dueTick[entry] ?? 0
      if (waits !== 0 && waits <= tick) return
      if (waits !== 0) unlink(entry)
      dueTick[entry] = tick
      link(entry, headOf(tick))
    },
    cancel: (slot) => {
      if (dueTick[slot + 1] === 0) return
      dueTick[slot + 1] = 0
      unlink(slot + 1)
    },
    advance: (now, wake) => {
      const target = tickOf(now)
      while (current < target) {
        current++
        let entry = next[headOf(current)] ?? 0
        while (entry !== 0) {
          const after = next[entry] ?? 0
          if ((dueTick[entry] ?? 0) <= current) {
            unlink(entry)
            link(entry, due)
          }
          entry = after
        }
        // One by one from a list of their own: whoever is woken may cancel others and put itself back.
        while ((entry = next[due] ?? 0) !== 0) {
          unlink(entry)
          dueTick[entry] = 0
          wake(entry - 1)
        }
      }
    }
  }
}
