import { printable } from "./printable.ts"

/** What a check has found of one thing. */
export interface Finding {
  readonly level: "ok" | "warn" | "error"
  /** What was looked at: `configuration`, `table`, `geo database` ... */
  readonly about: string
  readonly detail: string
}

/** Severity, subject, what was found. */
export const findingText = ({ about, detail, level }: Finding): string =>
  `${level.padEnd(5)}  ${printable(about)}: ${printable(detail)}`
