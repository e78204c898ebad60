import { seededStream } from "./bytes.ts"

/** What breaks parsers more often than chance does: ends, quotes, escapes, digits, half a character, length bytes. */
const HOSTILE = [
  "\u0000",
  "\n",
  "\r\n",
  '"',
  "\\",
  "\\u",
  "{",
  "[",
  "]",
  ",",
  ":",
  "-",
  "9".repeat(40),
  "1e999",
  "\ud800",
  "\u00ff"
]
const hostile = HOSTILE.map((text) => Buffer.from(text))

/** `FUZZ_ROUNDS` times as many mutants of everything, when there is time. */
export const fuzzRounds = Number(process.env["FUZZ_ROUNDS"] ?? "1")

/** Whole numbers below a bound, the same for the same seed. */
export const numbers = (seed: number): ((below: number) => number) => {
  const stream = seededStream(seed)
  return (below) => (below <= 0 ? 0 : stream.next(4).readUInt32LE() % below)
}

const mutate = (bytes: Buffer, below: (bound: number) => number): Buffer => {
  const at = below(bytes.length)
  const length = 1 + below(below(4) === 0 ? bytes.length : 8)
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at + length)]
  switch (below(6)) {
    case 0: {
      const flipped = Buffer.from(bytes)
      if (flipped.length > 0) flipped[at] = (flipped[at] ?? 0) ^ (1 << below(8))
      return flipped
    }
    case 1:
      return Buffer.concat([head, tail])
    case 2:
      return Buffer.concat([head, bytes.subarray(at, at + length), bytes.subarray(at)])
    case 3:
      return Buffer.concat([head, hostile[below(hostile.length)] ?? head, bytes.subarray(at)])
    case 4:
      return Buffer.concat([head, hostile[below(hostile.length)] ?? head, tail])
    default: {
      const other = below(bytes.length)
      return Buffer.concat([head, bytes.subarray(other, other + length), tail])
    }
  }
}

/** Bytes like these, with one to four things changed. */
export const mutants = function* (bytes: Uint8Array, count: number, seed = 1): Generator<Buffer> {
  const below = numbers(seed)
  for (let index = 0; index < count * fuzzRounds; index++) {
    let mutant: Buffer = Buffer.from(bytes)
    for (let changes = 1 + below(4); changes > 0; changes--) mutant = mutate(mutant, below)
    yield mutant
  }
}

/** Every beginning of the bytes, or one in `every`. */
export const beginnings = function* (bytes: Uint8Array, every = 1): Generator<Buffer> {
  for (let length = 0; length < bytes.length; length += every) yield Buffer.from(bytes.subarray(0, length))
}
