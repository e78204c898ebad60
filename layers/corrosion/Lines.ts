/** A line, or of one that is too long to keep how it begins and ends. */
export type Line = string | OversizedLine

export interface OversizedLine {
  readonly head: string
  readonly tail: string
}

export interface Lines {
  /** The lines that end within these bytes. To be taken to the end before the next push. */
  readonly push: (bytes: Buffer) => Generator<Line, void>
  /** Bytes of a line that has not ended. */
  readonly unfinished: () => number
}

// A row that means anything has less than a thousand bytes.
export const MAX_LINE_BYTES = 65_536
const HEAD_BYTES = 1_024
const TAIL_BYTES = 64
// Many small parts cost more than their bytes.
const MAX_PARTS = 64
const NEWLINE = 0x0a

const lastBytes = (all: ReadonlyArray<Buffer>): Buffer => {
  const last = all.at(-1)
  return Buffer.from(
    (last !== undefined && last.length >= TAIL_BYTES ? last : Buffer.concat(all)).subarray(-TAIL_BYTES)
  )
}

/**
 * Cuts bytes into lines wherever they were cut on their way: lines, and characters in them, may be spread over many chunks. It
 * holds at most one line of `MAX_LINE_BYTES`.
 */
export const make = (maxBytes = MAX_LINE_BYTES): Lines => {
  let parts: Array<Buffer> = []
  let bytes = 0
  // The beginning of the line, once it is too long.
  let head: Buffer | undefined

  const keep = (part: Buffer): void => {
    if (part.length === 0) return
    bytes += part.length
    parts.push(part)
    if (bytes > maxBytes) {
      head ??= Buffer.from(Buffer.concat(parts).subarray(0, HEAD_BYTES))
      parts = [lastBytes(parts)]
    } else if (parts.length > MAX_PARTS) parts = [Buffer.concat(parts)]
  }

  const take = (): Line => {
    const rest = parts.length === 1 ? parts[0] : Buffer.concat(parts)
    const text = rest?.toString() ?? ""
    const line = head === undefined ? text : { head: head.toString(), tail: text }
    parts = []
    bytes = 0
    head = undefined
    return line
  }

  return {
    *push(chunk) {
      let from = 0
      while (true) {
        const end = chunk.indexOf(NEWLINE, from)
        if (end === -1) break
        if (bytes === 0 && end - from <= maxBytes) yield chunk.toString("utf8", from, end)
        else {
          keep(chunk.subarray(from, end))
          yield take()
        }
        from = end + 1
      }
      keep(chunk.subarray(from))
    },
    unfinished: () => bytes
  }
}
