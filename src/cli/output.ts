import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"
import { printable, printableJson } from "./printable.ts"

/** An answer: as JSON for programs, else as text that its maker has made printable. */
export const answer = <A>(json: boolean, value: A, text: (value: A) => string): Effect.Effect<void> =>
  Console.log(json ? printableJson(value) : text(value))

/** A word beside the answer, which a program that reads the answer does not see. */
export const note = (text: string): Effect.Effect<void> => Console.error(printable(text))
