import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** One number that was measured. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
}

/** What a row is held against; a missed goal is said, and does not fail the run: machines differ. */
export interface Goal {
  readonly text: string
  readonly met: boolean
}

export interface Row {
  readonly what: string
  readonly figures: ReadonlyArray<Figure>
  readonly goal?: Goal
}

export interface BenchOptions {
  /** The program under test, a file that Node runs. */
  readonly program: string
}

/** One question to the machine. It runs in a process of its own, so that no measure finds another's heap and compiled code. */
export interface Measure {
  readonly name: string
  /** How it is measured, in a line or two; printed under the table. */
  readonly how: string
  readonly run: (options: BenchOptions) => Effect.Effect<ReadonlyArray<Row>, unknown, Scope.Scope>
}

/** What a measure hands back. */
export interface Measured {
  readonly measure: string
  readonly how: string
  readonly rows: ReadonlyArray<Row>
}

export const figure = (name: string, value: number, unit: string): Figure => ({ name, value, unit })

/** A measure that has no figures here, and why. */
export const skipped = (what: string, reason: string): Row => ({ what: `${what}: skipped, ${reason}`, figures: [] })
