import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

/** Text of an environment variable <-> value. */
export interface Codec<A> {
  /** What is allowed, as it continues "allowed: ". */
  readonly allowed: string
  /** Fails with what is allowed; a list also names the entry at fault. */
  readonly decode: (text: string) => Result.Result<A, string>
  /** Canonical text that `decode` takes back; `***` for a secret. A method, so that codecs of any type fit one list. */
  encode(value: A): string
  /** The value may be shown nowhere. */
  readonly secret?: true
}

/** What stands for a secret wherever a value is shown. */
export const mask = "***"

/** The text of a URL, or of anything, without the user name and password a URL may hold. */
export const maskUserInfo = (text: string): string => text.replaceAll(/\/\/[^/\s]*@/g, `//${mask}@`)

/**
 * A codec from a function that gives undefined for what is not allowed. Plain functions and not schemas: an operator
 * reads `allowed` and no schema issue, and compiling a hundred schemas would add some ten milliseconds to every start.
 */
export const codec = <A>(
  allowed: string,
  parse: (text: string) => A | undefined,
  encode: (value: A) => string = String
): Codec<A> => ({
  allowed,
  decode: (text) => Result.fromNullishOr(parse(text), () => allowed),
  encode
})

/** No text is no value: for variables without a default. */
export const optional = <A>(codec: Codec<A>): Codec<A | undefined> => ({
  ...codec,
  decode: (text) => (text === "" ? Result.succeed(undefined) : codec.decode(text)),
  encode: (value) => (value === undefined ? "" : codec.encode(value))
})

/** The same codec with other words for what is allowed. */
export const described = <A>(codec: Codec<A>, allowed: string): Codec<A> => ({
  ...codec,
  allowed,
  decode: (text) => Result.mapError(codec.decode(text), () => allowed)
})

/** `auto` in any case, or what the codec takes. */
export const orAuto = <A>(codec: Codec<A>): Codec<A | "auto"> =>
  described(
    {
      ...codec,
      decode: (text): Result.Result<A | "auto", string> =>
        text.trim().toLowerCase() === "auto" ? Result.succeed("auto") : codec.decode(text),
      encode: (value) => (value === "auto" ? "auto" : codec.encode(value))
    },
    `auto or ${codec.allowed}`
  )

/** A value that must not be shown: redacted once decoded, masked when encoded, never quoted in an error. */
export const secret = <A>(codec: Codec<A>): Codec<Redacted.Redacted<A>> => ({
  allowed: codec.allowed,
  decode: (text) =>
    Result.mapBoth(codec.decode(text), {
      onSuccess: (value) => Redacted.make(value),
      onFailure: () => codec.allowed
    }),
  encode: () => mask,
  secret: true
})

const longestQuote = 160

const quote = (text: string): string =>
  JSON.stringify(text.length > longestQuote ? `${text.slice(0, longestQuote)}...` : text)

interface ListOptions<A> {
  /** What is allowed, in the plural. */
  readonly allowed: string
  readonly separator?: string
  /** Names what may not occur twice, such as the name in `name=app`. */
  readonly key?: (entry: A) => string
  readonly nonEmpty?: boolean
}

/** Entries with commas between and blanks allowed around them. No text is no entry, an empty entry is an error. */
export const list = <A>(entry: Codec<A>, options: ListOptions<A>): Codec<ReadonlyArray<A>> => {
  const separator = options.separator ?? ","
  return {
    allowed: options.allowed,
    decode: (text) => {
      if (text.trim() === "") return options.nonEmpty ? Result.fail(options.allowed) : Result.succeed([])
      const values: Array<A> = []
      const keys = new Set<string>()
      for (const part of text.split(separator)) {
        const value = entry.decode(part.trim())
        if (Result.isFailure(value)) return Result.fail(`${options.allowed}; ${quote(part.trim())} is none`)
        const key = options.key?.(value.success)
        if (key !== undefined && keys.has(key)) return Result.fail(`${options.allowed}; ${quote(key)} only once`)
        if (key !== undefined) keys.add(key)
        values.push(value.success)
      }
      return Result.succeed(values)
    },
    encode: (values) => values.map((value) => entry.encode(value)).join(separator)
  }
}

/** `left=right` as one value, split at the first `=`. */
export const pair = <A, B>(left: Codec<A>, right: Codec<B>): Codec<readonly [A, B]> => {
  const allowed = `${left.allowed}=${right.allowed}`
  return {
    allowed,
    decode: (text) => {
      const at = text.indexOf("=")
      if (at < 0) return Result.fail(allowed)
      return Result.mapError(
        Result.all([left.decode(text.slice(0, at).trim()), right.decode(text.slice(at + 1).trim())]),
        () => allowed
      )
    },
    encode: ([a, b]) => `${left.encode(a)}=${right.encode(b)}`
  }
}

/** The same text, another value. */
export const imap = <A, B>(codec: Codec<A>, to: (value: A) => B, from: (value: B) => A): Codec<B> => ({
  ...codec,
  decode: (text) => Result.map(codec.decode(text), to),
  encode: (value) => codec.encode(from(value))
})
