/** Things that end, earliest first. */
export interface EndQueue<A> {
  readonly add: (atMs: number, item: A) => void
  /** The earliest, when it is not after this time. */
  readonly next: (untilMs: number) => { readonly atMs: number; readonly item: A } | undefined
}

interface Entry<A> {
  readonly atMs: number
  readonly item: A
}

/** A binary heap. */
export const make = <A>(): EndQueue<A> => {
  const heap: Array<Entry<A>> = []
  const timeOf = (index: number): number => heap[index]?.atMs ?? Infinity

  const swap = (a: number, b: number): void => {
    const [one, other] = [heap[a], heap[b]]
    if (one === undefined || other === undefined) return
    heap[a] = other
    heap[b] = one
  }

  const up = (from: number): void => {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1
      if (timeOf(parent) <= timeOf(at)) return
      swap(parent, at)
      at = parent
    }
  }

  const down = (): void => {
    for (let at = 0; ;) {
      const left = 2 * at + 1
      const child = timeOf(left + 1) < timeOf(left) ? left + 1 : left
      if (timeOf(child) >= timeOf(at)) return
      swap(child, at)
      at = child
    }
  }

  return {
    add: (atMs, item) => {
      heap.push({ atMs, item })
      up(heap.length - 1)
    },
    next: (untilMs) => {
      const first = heap[0]
      if (first === undefined || first.atMs > untilMs) return undefined
      const last = heap.pop()
      if (last !== undefined && heap.length > 0) {
        heap[0] = last
        down()
      }
      return first
    }
  }
}
