/** One reply of BIRD: lines with four-digit codes, the last of which ends it. */
export interface Reply {
  /** That of the last line: 0xxx success, 8xxx a failure at run time, 9xxx a command it did not understand. */
  readonly code: number
  readonly lines: ReadonlyArray<{ readonly code: number; readonly text: string }>
}

/** Nothing asked for here is a tenth as long. */
const MAX_BYTES = 65_536

const line = /^(\d{4})([ -])(.*)$/

/** Not the protocol of BIRD's control socket. */
export class NotBird extends Error {}

/**
 * Cuts what comes from BIRD's control socket into replies (BIRD 2, `nest/cli.c`): `1002-text` goes on, `0000 text` ends the reply,
 * ` text` has the code of the line before, `+text` is news that nobody has asked for. Bounded: a reply that does not end, or is
 * none, is an error.
 */
export const make = () => {
  let rest = ""
  let bytes = 0
  let lines: Array<{ code: number; text: string }> = []

  const take = (text: string): Reply | undefined => {
    if (text.startsWith("+")) return undefined
    const last = lines.at(-1)
    if (text.startsWith(" ") && last !== undefined) {
      lines.push({ code: last.code, text: text.slice(1) })
      return undefined
    }
    const [, digits = "", more, words = ""] = line.exec(text) ?? []
    if (more === undefined) throw new NotBird("it does not speak as BIRD does")
    const code = Number(digits)
    lines.push({ code, text: words })
    if (more === "-") return undefined
    const reply = { code, lines }
    lines = []
    bytes = 0
    return reply
  }

  return {
    /** The replies that end with this part. */
    push: (part: string): ReadonlyArray<Reply> => {
      bytes += part.length
      const parts = (rest + part).split("\n")
      rest = parts.pop() ?? ""
      const replies = parts.flatMap((text) => take(text) ?? [])
      if (bytes > MAX_BYTES || rest.length > MAX_BYTES) throw new NotBird(`a reply of more than ${MAX_BYTES} bytes`)
      return replies
    }
  }
}
