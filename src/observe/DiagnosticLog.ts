import * as Context from "effect/Context"

/** How the log of what the program has to say fares. */
export const DiagnosticLog = Context.Reference<{
  /** Lines lost to a slow reader. */
  readonly dropped: () => number
}>("edgeproxy/observe/DiagnosticLog", { defaultValue: () => ({ dropped: () => 0 }) })
