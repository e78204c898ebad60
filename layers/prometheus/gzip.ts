import * as Effect from "effect/Effect"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"
import type { Page } from "../../src/observe/PrometheusText.ts"

// The text repeats itself so much that the fastest level makes a twentieth of it.
const LEVEL = 1

/** Compresses outside the control thread, piece by piece. */
const compress = async ({ chunks }: Page): Promise<Page> => {
  const compressed: Array<Uint8Array> = []
  await pipeline(Readable.from(chunks), createGzip({ level: LEVEL }), async (source: AsyncIterable<Uint8Array>) => {
    for await (const chunk of source) compressed.push(chunk)
  })
  return { chunks: compressed, bytes: compressed.reduce((sum, { length }) => sum + length, 0) }
}

const made = new WeakMap<Page, Promise<Page>>()

/** The page compressed, once for all who get it. */
export const gzip = (page: Page): Effect.Effect<Page> =>
  Effect.promise(() => {
    const known = made.get(page)
    if (known !== undefined) return known
    const fresh = compress(page)
    made.set(page, fresh)
    return fresh
  })
