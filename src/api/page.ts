import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { forEachSliced } from "../actor/Sliced.ts"

export const MAX_PAGE = 1_000

/** How a page is asked for. */
export const pageQuery = {
  limit: Schema.optional(
    Schema.Int.annotate({ expected: `an integer from 1 to ${MAX_PAGE}` }).check(
      Schema.isBetween({ minimum: 1, maximum: MAX_PAGE }, { expected: `an integer from 1 to ${MAX_PAGE}` })
    )
  ),
  after: Schema.optional(Schema.String.annotate({ description: "`next` of the page before" }))
}

export interface Page<A, K> {
  /** By key, ascending. */
  readonly items: ReadonlyArray<A>
  /** What the next page comes after; undefined on the last one. */
  readonly next: K | undefined
  /** On all pages together. */
  readonly total: number
}

/**
 * The first `limit` items behind the key `after`. Whatever comes and goes between two pages, an item that stays is on
 * exactly one of them. Keys are unique and do not change; what has none is not of the list.
 */
export const pageOf = Effect.fnUntraced(function* <A, K extends number | string>(
  items: Iterable<A>,
  keyOf: (item: A) => K | undefined,
  { after, limit }: { readonly after: K | undefined; readonly limit: number }
) {
  // Never more than one beyond the page, however many there are.
  const kept: Array<{ readonly key: K; readonly item: A }> = []
  let total = 0
  yield* forEachSliced(items, (item) => {
    const key = keyOf(item)
    if (key === undefined) return
    total++
    if (after !== undefined && key <= after) return
    const last = kept.at(-1)
    if (kept.length > limit && last !== undefined && key >= last.key) return
    let low = 0
    let high = kept.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const there = kept[middle]
      if (there !== undefined && there.key < key) low = middle + 1
      else high = middle
    }
    // One that has gone and come back meanwhile is met twice.
    if (kept[low]?.key === key) return
    kept.splice(low, 0, { key, item })
    if (kept.length > limit + 1) kept.pop()
  })
  const page: Page<A, K> = {
    items: kept.slice(0, limit).map(({ item }) => item),
    next: kept.length > limit ? kept[limit - 1]?.key : undefined,
    total
  }
  return page
})
