// Control, format, surrogate, private and unassigned characters, line and paragraph separators.
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu

const escaped = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  return code > 0xff ? `\\u{${code.toString(16)}}` : `\\x${code.toString(16).padStart(2, "0")}`
}

/** Text from elsewhere as a terminal may have it: what could move the cursor, or lie about what stands there, is spelt out. */
export const printable = (text: string): string => text.replace(unprintable, escaped)

/** The same for text of several lines. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n")

/** JSON of any value for a pipe as for a terminal: only printable characters, and it reads back as the same value. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value, null, 2)
    .split("\n")
    .map((line) =>
      line.replace(unprintable, (character) =>
        Array.from(
          { length: character.length },
          (_, at) => String.raw`\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`
        ).join("")
      )
    )
    .join("\n")
