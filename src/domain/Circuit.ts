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
  | { readonly _tag: "HalfOpen"; readonly trying: number; readonly successes: number }

export type CircuitEvent =
  /** A connection was sent to the backend. */
  | "admitted"
  /** It turned out well: bytes came, or it lived long enough. */
  | "succeeded"
  /** By the backend's fault (H2): the dial failed, or it was ended within a second without a byte. */
  | "failed"
  /** It ended and says nothing of the backend: the client or the proxy has ended it. */
  | "released"

export const closed: Circuit = { _tag: "Closed", failures: 0 }

/** As it is at this time: an open one whose time has passed is half-open. */
export const at = (circuit: Circuit, now: number, { timeoutMs }: CircuitOptions): Circuit =>
  circuit._tag === "Open" && now - circuit.since >= timeoutMs ? { _tag: "HalfOpen", trying: 0, successes: 0 } : circuit

/** Whether one more connection may go to the backend. */
export const admits = (circuit: Circuit, now: number, options: CircuitOptions): boolean => {
  const current = at(circuit, now, options)
  if (current._tag === "Closed") return true
  return current._tag === "HalfOpen" && current.trying + current.successes < options.successThreshold
}

/** When an open circuit begins to admit; undefined for one that is not open. */
export const opensUntil = (circuit: Circuit, { timeoutMs }: CircuitOptions): number | undefined =>
  circuit._tag === "Open" ? circuit.since + timeoutMs : undefined

export const step = (before: Circuit, event: CircuitEvent, now: number, options: CircuitOptions): Circuit => {
  const circuit = at(before, now, options)
  switch (circuit._tag) {
    case "Closed": {
      if (event === "failed") {
        const failures = circuit.failures + 1
        return failures >= options.failureThreshold ? { _tag: "Open", since: now } : { _tag: "Closed", failures }
      }
      return event === "succeeded" && circuit.failures > 0 ? closed : circuit
    }
    case "Open":
      // Late news of connections from before it opened, or of bound clients' last ones.
      return circuit
    case "HalfOpen": {
      if (event === "failed") return { _tag: "Open", since: now }
      if (event === "admitted") return { ...circuit, trying: circuit.trying + 1 }
      const trying = Math.max(0, circuit.trying - 1)
      if (event === "released") return { ...circuit, trying }
      const successes = circuit.successes + 1
      return successes >= options.successThreshold ? closed : { ...circuit, trying, successes }
    }
  }
}
