/**
 * Handshakes under way, of an engine: they take most of the processor that there is, and some memory each. Those beyond the
 * limit wait for their turn, and are taken out by their own deadline.
 */
export class Handshakes {
  private running = 0
  // In order of arrival.
  private readonly waiting = new Set<() => void>()

  /** Calls `begin` now or later, unless what this returns is called first. Each that has begun calls {@link end} once. */
  begin(limit: number, begin: () => void): () => void {
    if (this.running < limit) {
      this.running++
      begin()
      return nothing
    }
    this.waiting.add(begin)
    return () => this.waiting.delete(begin)
  }

  end(): void {
    const [next] = this.waiting
    if (next === undefined) {
      this.running--
      return
    }
    this.waiting.delete(next)
    next()
  }
}

const nothing = (): void => undefined
