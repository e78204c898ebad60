/** How long a handshake keeps its place while others wait. */
const PATIENCE_MS = 250

/** One that has begun, or waits for its turn. */
export interface Turn {
  /** It is over, or not wanted any more. */
  readonly end: () => void
}

/**
 * Handshakes under way, of an engine: they take most of the processor that there is, and some memory each. Those beyond the
 * limit wait for their turn. What costs is done when a handshake begins; after that it is its client that is waited for,
 * perhaps for good. So one that has taken long goes on, but its place is for who waits: else a few hundred clients that
 * never finish would keep everybody out.
 */
export class Handshakes {
  /** When each of those that have a place has begun, in that order. */
  private readonly placed = new Map<Turn, number>()
  /** In order of arrival. */
  private readonly waiting = new Map<Turn, () => void>()
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  /** Calls `begin`, now or later, unless its turn is ended before. */
  begin(limit: number, begin: () => void): Turn {
    const turn: Turn = { end: () => this.end(turn) }
    if (this.placed.size < limit) this.place(turn, begin)
    else this.waiting.set(turn, begin)
    return turn
  }

  /** To be called now and then: those who wait get the places of those that take long. */
  advance(now: number): void {
    for (const [turn, begunAt] of this.placed) {
      if (this.waiting.size === 0 || now - begunAt < PATIENCE_MS) return
      this.end(turn)
    }
  }

  private place(turn: Turn, begin: () => void): void {
    this.placed.set(turn, this.now())
    begin()
  }

  private end(turn: Turn): void {
    if (this.waiting.delete(turn) || !this.placed.delete(turn)) return
    for (const [next, begin] of this.waiting) {
      this.waiting.delete(next)
      return this.place(next, begin)
    }
  }
}
