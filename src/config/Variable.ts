import type * as Result from "effect/Result"
import type { Codec } from "./Codec.ts"

/** What a value may depend on besides its own text. */
export interface Ambient {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly hostname: string
  /** Standard output is a terminal. */
  readonly terminal: boolean
}

/** A default as text, "" for none; or one that is worked out, with the words that describe it. */
export type Default = string | { readonly shown: string; readonly from: (ambient: Ambient) => string }

/** One environment variable: everything the parser, the documentation and `edgeproxy config` know about it. */
export interface Variable<A> {
  /** Full name in the environment. */
  readonly name: string
  /** Heading it is documented under. */
  readonly group: string
  readonly default: Default
  /** What it does, in the operator's words. */
  readonly doc: string
  /** May change while the process runs. */
  readonly reloadable: boolean
  /** Shown nowhere, and may come from the file that `<name>_FILE` names. */
  readonly secret: boolean
  /** An empty text is a value of its own; for all others it counts as absent. */
  readonly emptyIsValue: boolean
  /** Fails with what is allowed. */
  readonly decode: (text: string, ambient: Ambient) => Result.Result<A, string>
  /** Canonical text that `decode` takes back. A method, so that variables of any type fit one list. */
  encode(value: A): string
}

export interface VariableOptions {
  readonly name: string
  readonly default?: Default
  readonly doc: string
  readonly reloadable?: boolean
  readonly emptyIsValue?: boolean
}

/** A codec that may look around, such as for `auto`. */
export interface AmbientCodec<A> extends Omit<Codec<A>, "decode"> {
  readonly decode: (text: string, ambient: Ambient) => Result.Result<A, string>
}

/** Defines the variables of one group, with what they have in common. */
export const inGroup =
  (group: string, common: Pick<VariableOptions, "reloadable"> = {}) =>
  <A>(codec: AmbientCodec<A>, options: VariableOptions): Variable<A> => ({
    name: options.name,
    group,
    default: options.default ?? "",
    doc: options.doc,
    reloadable: options.reloadable ?? common.reloadable ?? false,
    secret: codec.secret ?? false,
    emptyIsValue: options.emptyIsValue ?? false,
    decode: codec.decode,
    encode: (value) => codec.encode(value)
  })

/** The text of a variable that is not set. */
export const defaultText = (variable: Variable<unknown>, ambient: Ambient): string =>
  typeof variable.default === "string" ? variable.default : variable.default.from(ambient)
