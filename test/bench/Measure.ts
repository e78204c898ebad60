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

/** What one proxy has come to. */
export interface Standing {
  readonly proxy: string
  readonly value: number
  /** To the best HAProxy, the median of the rounds; NaN without HAProxy. */
  readonly ratio: number
  /** What each round gave. */
  readonly rounds: ReadonlyArray<number>
}

/** One figure of all proxies under the same work. */
export interface Contest {
  readonly what: string
  readonly unit: string
  readonly better: "lower" | "higher"
  readonly standings: ReadonlyArray<Standing>
  /** For edgeProxy. */
  readonly goal?: Goal
  /** Its title in the picture. */
  readonly panel?: string
}

export interface BenchOptions {
  /** The program under test, a file that Node runs. */
  readonly program: string
  /** Less of everything: figures for a first look. */
  readonly quick: boolean
  /** Measure edgeProxy with one and with two data-plane threads too. */
  readonly threads: boolean
  /** Beginnings of the names of the proxies to measure; empty for all. */
  readonly proxies: ReadonlyArray<string>
  /** Whom the proxies run as; undefined for who runs the bench. */
  readonly user?: string | undefined
}

/** What a measure has found. */
export interface Findings {
  readonly rows: ReadonlyArray<Row>
  readonly contests?: ReadonlyArray<Contest>
  /** What a reader must know about this run. */
  readonly notes?: ReadonlyArray<string>
  /** What did not come to a figure. */
  readonly failures?: ReadonlyArray<string>
}

/** One question to the machine. It runs in a process of its own, so that no measure finds another's heap and compiled code. */
export interface Measure {
  readonly name: string
  /** How it is measured, in a line or two; printed under the table. */
  readonly how: string
  readonly run: (options: BenchOptions) => Effect.Effect<Findings, unknown, Scope.Scope>
}

/** What a measure hands back. */
export interface Measured extends Findings {
  readonly measure: string
  readonly how: string
}

export const figure = (name: string, value: number, unit: string): Figure => ({ name, value, unit })

/** A measure that has no figures here, and why. */
export const skipped = (what: string, reason: string): Row => ({ what: `${what}: skipped, ${reason}`, figures: [] })
