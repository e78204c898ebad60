import type { TerminatedBy } from "./Termination.ts"

/** What decides when a circuit opens and closes (H2). */
export interface CircuitOptions {
  /** Failures in a row that open it. */
  readonly failureThreshold: number
  /** Connections that a half-open one admits at once, and successes that close it. */
  readonly successThreshold: number
  /** How long it stays open before it tries. */
  readonly timeoutMs: number
}

/**
 * A circuit breaker (H2): keeps clients from a backend that has failed them in a row, and after a while lets a few try it.
 * Times are monotonic milliseconds.
 */
export type Circuit =
  | { readonly _tag: "Closed"; readonly failures: number }
  | { readonly _tag: "Open"; readonly since: number }
  | {
      readonly _tag: "HalfOpen"
      /** Names this trial: news of an earlier one, or of connections from before it, is no news. */
      readonly trial: number
      readonly trying: number
      readonly successes: number
    }

/** What a connection says of the backend it was sent to. */
export type Verdict =
  /** Bytes came, or it lived long enough. */
  | "succeeded"
  /** By the backend's fault: the dial failed, or it was ended early without a byte. */
  | "failed"
  /** Nothing: the client or the proxy has ended it, or it is too old to tell of the backend as it is. */
  | "neutral"

export const closed: Circuit = { _tag: "Closed", failures: 0 }

/** A connection that lives as long has succeeded, whether or not bytes came. */
export const PROVEN_MS = 1_000

/** What the end of a connection says, so many milliseconds after the dial. */
export const verdictOf = (by: TerminatedBy, bytesOut: number, livedMs: number): Verdict => {
  // Had it been asked at that age it would have said so; by now its end tells of another time.
  if (livedMs >= PROVEN_MS) return "neutral"
  if (bytesOut > 0) return "succeeded"
  return by === "backend" ? "failed" : "neutral"
}

/** Whether one more connection may go to the backend. */
export const admits = (circuit: Circuit, { successThreshold }: CircuitOptions): boolean =>
  circuit._tag === "Closed" || (circuit._tag === "HalfOpen" && circuit.trying + circuit.successes < successThreshold)

/** What it is from the moment on in which other options are in force: no half-open one may wait for what can't come. */
export const under = (circuit: Circuit, { successThreshold }: CircuitOptions): Circuit =>
  circuit._tag === "HalfOpen" && circuit.successes >= successThreshold ? closed : circuit

/** The trial that a connection sent there now takes part in; undefined for none. */
export const trialOf = (circuit: Circuit, options: CircuitOptions): number | undefined =>
  circuit._tag === "HalfOpen" && admits(circuit, options) ? circuit.trial : undefined

/** A connection was sent to the backend; one that is not of the trial changes nothing. */
export const admitted = (circuit: Circuit, options: CircuitOptions): Circuit =>
  circuit._tag === "HalfOpen" && admits(circuit, options) ? { ...circuit, trying: circuit.trying + 1 } : circuit

/** An open circuit whose time has passed is half-open. */
export const at = (circuit: Circuit, now: number, { timeoutMs }: CircuitOptions): Circuit =>
  circuit._tag === "Open" && now - circuit.since >= timeoutMs
    ? { _tag: "HalfOpen", trial: circuit.since, trying: 0, successes: 0 }
    : circuit

/** A connection has told its verdict; `trial` is what {@link trialOf} said when it was sent. Each tells once. */
export const told = (
  circuit: Circuit,
  verdict: Verdict,
  trial: number | undefined,
  now: number,
  { failureThreshold, successThreshold }: CircuitOptions
): Circuit => {
  switch (circuit._tag) {
    case "Closed": {
      if (verdict === "neutral") return circuit
      if (verdict === "succeeded") return circuit.failures > 0 ? closed : circuit
      const failures = circuit.failures + 1
      return failures >= failureThreshold ? { _tag: "Open", since: now } : { _tag: "Closed", failures }
    }
    case "Open":
      return circuit
    case "HalfOpen": {
      if (trial !== circuit.trial) return circuit
      if (verdict === "failed") return { _tag: "Open", since: now }
      const trying = circuit.trying - 1
      if (verdict === "neutral") return { ...circuit, trying }
      const successes = circuit.successes + 1
      return successes >= successThreshold ? closed : { ...circuit, trying, successes }
    }
  }
}
