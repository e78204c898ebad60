/** Takes text in pieces and gives its lines. */
export interface Splitter {
  readonly push: (text: string) => ReadonlyArray<string>
  /** What is left when there is no more. */
  readonly end: () => ReadonlyArray<string>
  /** Lines that were too long to be any of ours. */
  readonly overlong: () => number
}

/** An access-log line has a few hundred characters. */
export const MAX_LINE_CHARS = 65_536

/** However long a line, no more than {@link MAX_LINE_CHARS} of it are held. Empty lines are none. */
export const makeSplitter = (): Splitter => {
  let rest = ""
  let skipping = false
  let overlong = 0

  const finish = (line: string): ReadonlyArray<string> => {
    const whole = rest + line
    rest = ""
    if (skipping) {
      skipping = false
      return []
    }
    if (whole.length > MAX_LINE_CHARS) {
      overlong++
      return []
    }
    const text = whole.endsWith("\r") ? whole.slice(0, -1) : whole
    return text.trim() === "" ? [] : [text]
  }

  return {
    push: (text) => {
      const parts = text.split("\n")
      const last = parts.pop() ?? ""
      const lines = parts.flatMap(finish)
      if (skipping) return lines
      rest += last
      if (rest.length > MAX_LINE_CHARS) {
        overlong++
        skipping = true
        rest = ""
      }
      return lines
    },
    end: () => finish(""),
    overlong: () => overlong
  }
}
