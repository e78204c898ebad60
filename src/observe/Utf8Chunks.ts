/** Text that becomes UTF-8 as it grows, in chunks of at most {@link CHUNK_BYTES}, for which `take` gives the room. */
export interface Utf8Chunks {
  readonly append: (text: string) => void
  /** All of it; nothing may be appended any more. */
  readonly finish: () => ReadonlyArray<Uint8Array>
}

export const CHUNK_BYTES = 65_536

/** Room that nobody else uses. */
export const takeNew = (): Uint8Array => new Uint8Array(CHUNK_BYTES)

// Text becomes bytes in portions: longer ones would live long enough to be kept by the garbage collector.
const PORTION_CHARS = 4_096
// No character takes more.
const CHARACTER_BYTES = 4

const encoder = new TextEncoder()

export const make = (take: () => Uint8Array): Utf8Chunks => {
  const full: Array<Uint8Array> = []
  let chunk: Uint8Array | undefined
  let used = 0
  let waiting = ""

  const close = (): void => {
    if (chunk !== undefined && used > 0) full.push(chunk.subarray(0, used))
    chunk = undefined
    used = 0
  }

  const encode = (): void => {
    while (waiting !== "") {
      if (chunk === undefined || chunk.length - used < CHARACTER_BYTES) {
        close()
        chunk = take()
      }
      const { read, written } = encoder.encodeInto(waiting, chunk.subarray(used))
      used += written
      waiting = waiting.slice(read)
    }
  }

  return {
    append: (text) => {
      waiting += text
      if (waiting.length >= PORTION_CHARS) encode()
    },
    finish: () => {
      if (chunk === undefined) {
        // A short text needs no chunk of its own size.
        if (waiting !== "") full.push(encoder.encode(waiting))
        return full
      }
      encode()
      close()
      return full
    }
  }
}

/** The same bytes, with neighbours put together that fit into one chunk. */
export const coalesce = (chunks: Iterable<Uint8Array>): ReadonlyArray<Uint8Array> => {
  const together: Array<Uint8Array> = []
  let group: Array<Uint8Array> = []
  let bytes = 0
  const close = (): void => {
    const [first] = group
    if (first === undefined) return
    if (group.length === 1) together.push(first)
    else {
      const joined = new Uint8Array(bytes)
      let at = 0
      for (const each of group) {
        joined.set(each, at)
        at += each.length
      }
      together.push(joined)
    }
    group = []
    bytes = 0
  }
  for (const chunk of chunks) {
    if (bytes + chunk.length > CHUNK_BYTES) close()
    group.push(chunk)
    bytes += chunk.length
  }
  close()
  return together
}
