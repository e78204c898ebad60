import * as Effect from "effect/Effect"
import { monotonicMs } from "../../src/actor/Monotonic.ts"
import type { Answer } from "./Agent.ts"
import { AgentError } from "./AgentError.ts"
import { type Line, make as makeLines } from "./Lines.ts"

// Long enough that yielding costs nothing, short enough that nobody waits 10 ms for the control thread (T2).
const SLICE_MS = 2
// The clock is read once in so many bytes, a fraction of a millisecond of work.
const STRIDE_BYTES = 8_192

/**
 * Gives the lines of a body to `use` as they come, and other work its turn every few milliseconds, however fast they come. Ends
 * with the body, or when `use` says false: it has seen enough.
 */
export const readLines = Effect.fnUntraced(function* (answer: Answer, use: (line: Line) => boolean) {
  const now = yield* monotonicMs
  const lines = makeLines()
  let sliceEnd = now() + SLICE_MS
  let left = STRIDE_BYTES
  do {
    for (let bytes = answer.read(); bytes !== null; bytes = answer.read()) {
      for (const line of lines.push(bytes)) {
        if (!use(line)) return
        left -= typeof line === "string" ? line.length : STRIDE_BYTES
        if (left > 0) continue
        left = STRIDE_BYTES
        if (now() < sliceEnd) continue
        yield* Effect.yieldNow
        sliceEnd = now() + SLICE_MS
      }
    }
    const more = yield* answer.more
    // What waited has given everybody a turn.
    sliceEnd = now() + SLICE_MS
    if (!more) break
  } while (true)
  if (lines.unfinished() > 0) {
    return yield* new AgentError({ kind: "unreachable", detail: "the stream has ended in the middle of a line" })
  }
})

/** The whole of a short body as text. */
export const readText = Effect.fnUntraced(function* (answer: Answer, maxBytes: number) {
  const parts: Array<Buffer> = []
  let size = 0
  do {
    for (let bytes = answer.read(); bytes !== null; bytes = answer.read()) {
      size += bytes.length
      if (size > maxBytes)
        return yield* new AgentError({ kind: "protocol", detail: "a far longer answer than there is" })
      parts.push(bytes)
    }
  } while (yield* answer.more)
  return Buffer.concat(parts).toString()
})
