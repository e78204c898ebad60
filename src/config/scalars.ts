import { codec, type Codec } from "./Codec.ts"

const enumerate = (words: ReadonlyArray<string>): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`

/** One of some lower-case words, taken in any case. */
export const literals = <const L extends ReadonlyArray<string>>(words: L): Codec<L[number]> =>
  codec(enumerate(words), (text) => {
    const given = text.trim().toLowerCase()
    return words.find((word): word is L[number] => word === given)
  })

const truths: ReadonlyArray<string> = ["true", "1", "yes", "on"]
const falsehoods: ReadonlyArray<string> = ["false", "0", "no", "off"]

/** `true/false/1/0/yes/no/on/off` in any case. */
export const boolean: Codec<boolean> = codec("true, false, 1, 0, yes, no, on or off", (text) => {
  const word = text.trim().toLowerCase()
  return truths.includes(word) ? true : falsehoods.includes(word) ? false : undefined
})

interface Range {
  readonly minimum: number
  readonly maximum: number
  /** Allows 0 below the minimum, and says what it means, such as "off". */
  readonly zero?: string
}

/** A decimal number in range, to whole units of `1 / perUnit`; `pattern` keeps out what Number() takes besides. */
const number = (pattern: RegExp, perUnit: number, range: Range, kind: string): Codec<number> => {
  const { maximum, minimum, zero } = range
  const inRange = (value: number) => (value >= minimum && value <= maximum) || (zero !== undefined && value === 0)
  return codec(
    `${zero === undefined ? "" : `0 (${zero}) or `}${kind.replace("*", `from ${minimum} to ${maximum}`)}`,
    (text) => {
      const value = pattern.test(text.trim()) ? Number(text) : Number.NaN
      return inRange(value) ? Math.round(value * perUnit) : undefined
    },
    (whole) => String(whole / perUnit)
  )
}

const digits = /^\d+$/
const decimals = /^(\d+(\.\d*)?|\.\d+)$/

export const integer = (range: Range): Codec<number> => number(digits, 1, range, "an integer *")

/** Longest wait a timer can hold (2^31 - 1 ms, 24 days), in whole seconds. */
const longestSecs = 2_147_483

/** A `_SECS` variable: seconds with decimals, decoded to whole milliseconds. */
export const seconds = (range: Partial<Range> = {}): Codec<number> =>
  number(decimals, 1_000, { minimum: 0.001, maximum: longestSecs, ...range }, "seconds *, decimals allowed")

/** An `_MS` variable: milliseconds, decoded to whole ones. */
export const milliseconds = (range: Partial<Range> = {}): Codec<number> =>
  number(decimals, 1, { minimum: 1, maximum: longestSecs * 1_000, ...range }, "milliseconds *, decimals allowed")

/** A share from 0 to 1. */
export const ratio: Codec<number> = codec("a number from 0 to 1", (text) => {
  const value = decimals.test(text.trim()) ? Number(text) : Number.NaN
  return value <= 1 ? Math.round(value * 1e6) / 1e6 : undefined
})
