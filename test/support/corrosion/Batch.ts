import type { Touched } from "./Database.ts"
import type { Cell } from "./json.ts"

/** Changed rows that at once make a batch of their own. */
const FULL = 1_000

/** Something that is told of changed rows in batches. */
export interface Target {
  readonly concerns: (touched: Touched) => boolean
  readonly update: (touched: Touched) => void
}

/** Collects changed rows until its tick, or until there are many: only the net effect of a batch is seen. */
export class Batch {
  readonly #target: Target
  readonly #tickMs: () => number
  readonly #born = performance.now()
  #touched = new Map<string, Map<string, ReadonlyArray<Cell>>>()
  #count = 0
  #timer: NodeJS.Timeout | undefined

  /** With a tick of Infinity it waits for `flush`. */
  constructor(target: Target, tickMs: () => number) {
    this.#target = target
    this.#tickMs = tickMs
  }

  add(touched: Touched): void {
    if (!this.#target.concerns(touched)) return
    for (const [table, rows] of touched) {
      const known = this.#touched.get(table) ?? new Map<string, ReadonlyArray<Cell>>()
      this.#count -= known.size
      for (const [key, values] of rows) known.set(key, values)
      this.#count += known.size
      this.#touched.set(table, known)
    }
    const tickMs = this.#tickMs()
    if (this.#count >= FULL || tickMs <= 0) this.flush()
    else if (Number.isFinite(tickMs))
      this.#timer ??= setTimeout(() => this.flush(), tickMs - ((performance.now() - this.#born) % tickMs))
  }

  flush(): void {
    this.stop()
    const touched = this.#touched
    this.#touched = new Map()
    this.#count = 0
    if (touched.size > 0) this.#target.update(touched)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
