/**
 * How a connection ended (C6): who ended it, in which phase, and why. Every ended connection has exactly one, in its log
 * line and in the counters.
 */
export interface Termination {
  readonly by: TerminatedBy
  readonly phase: Phase
  readonly cause: Cause
}

export const terminators = ["client", "backend", "proxy"] as const

export type TerminatedBy = (typeof terminators)[number]

/** Where in its life the connection was: before routing, choosing, dialling, carrying bytes, or being drained. */
export const phases = ["pre-route", "route", "dial", "relay", "drain"] as const

export type Phase = (typeof phases)[number]

export const causes = [
  // Both sides finished in order; `by` is the side that finished first.
  "fin",
  // One side reset.
  "rst",
  // One side finished without saying so in its TLS (close_notify): what it sent may not be all of it.
  "truncated",
  // TLS could not be agreed on, or what came later was none.
  "tls",
  // The client showed no certificate, or none that is accepted.
  "client-cert",
  // The backend's kernel refused the dial.
  "refused",
  // No answer to the dial within the connect timeout.
  "connect-timeout",
  // No route to the backend, or its host or network said so.
  "unreachable",
  // The peer may not tell for whom it connects, and only those who do are served here.
  "untrusted-peer",
  // No PROXY header where one is required, or a broken one.
  "bad-proxy-header",
  // The first bytes are no TLS ClientHello, or one that breaks its rules.
  "bad-hello",
  // No app is served under the TLS server name (SNI) the client asks for.
  "unknown-name",
  // Accept to routed took too long.
  "preroute-timeout",
  // No byte either way (C3).
  "idle-timeout",
  // One side had finished and the other stayed silent.
  "fin-timeout",
  // Bytes waited and the receiver took none.
  "stall-timeout",
  // Keepalive or retransmission found the peer gone.
  "peer-lost",
  "max-age",
  // The proxy's own limit: connections, file descriptors, ports, memory.
  "limit",
  // The client's network or country may not connect.
  "denied",
  // The client has as many connections as one may have.
  "client-limit",
  // The client opens connections faster than one may (H4).
  "rate-limit",
  // The proxy's control loop or memory is at its limit.
  "overload",
  // No eligible backend at all.
  "no-backend",
  // Eligible ones, all at their hard limit.
  "no-capacity",
  // The backend was found down, or has left the table, and its connections are not to go on.
  "backend-down",
  // The drain deadline came.
  "forced",
  // An operator ended it.
  "killed",
  // The thread that carried it died.
  "engine-lost",
  // A fault of the proxy itself; the log has it.
  "internal"
] as const

export type Cause = (typeof causes)[number]
