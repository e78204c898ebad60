/** What a server of the control plane bears. None of its bounds depends on the good will of clients. */
export interface ServerLimits {
  /** A request's line and headers may take so long to come, in milliseconds; so may a client be silent at first. */
  readonly headersMs: number
  /** A request with its body. */
  readonly requestMs: number
  /** Between two requests on one connection. */
  readonly idleMs: number
  /** From a request to the last byte of its answer that the system has taken. */
  readonly answerMs: number
  /** Connections at once. When they are all taken, one that waits for a request makes room for a new one. */
  readonly connections: number
  readonly connectionsPerClient: number
  /** Of the connections, those that only clients on loopback may have. */
  readonly connectionsForLoopback: number
  /** Requests being answered at once. */
  readonly requests: number
  readonly requestsPerClient: number
  /** Requests of one client: so many in a row, then so many each second. */
  readonly clientBurst: number
  readonly clientPerSecond: number
  /** Of all clients together but those on loopback. */
  readonly totalBurst: number
  readonly totalPerSecond: number
  /**
   * Whoever asks too much is told so only after this. It keeps its connection for so long, and the connections of a client
   * are few: refusing the next ones costs nearly nothing, however fast it would ask.
   */
  readonly refusalMs: number
  /** Questions for health and readiness, which have a place of their own: a flood must not make the POP look dead. */
  readonly probeBurst: number
  readonly probePerSecond: number
}

/** A sixteenth of the process's descriptors: what the API may take is not there for clients. */
export const connectionsOf = (fdLimit: number): number =>
  Math.max(8, Math.min(defaultLimits.connections, Math.floor(fdLimit / 16)))

export const defaultLimits: ServerLimits = {
  headersMs: 5_000,
  requestMs: 10_000,
  idleMs: 15_000,
  answerMs: 30_000,
  connections: 512,
  connectionsPerClient: 128,
  connectionsForLoopback: 32,
  requests: 256,
  requestsPerClient: 64,
  // One host may speak for a thousand backends that say each second that they are there.
  clientBurst: 3_000,
  clientPerSecond: 1_500,
  totalBurst: 6_000,
  totalPerSecond: 3_000,
  refusalMs: 100,
  probeBurst: 100,
  probePerSecond: 50
}
