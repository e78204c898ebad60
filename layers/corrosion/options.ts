import type * as Redacted from "effect/Redacted"

export interface CorrosionOptions {
  /** Where the agent's HTTP API is; `http` or `https`, a path in front of `/v1` is kept. */
  readonly url: string
  readonly token: Redacted.Redacted<string> | undefined
  /** How often the tables are read while they can't be subscribed to, and how long a stream may be silent unasked. */
  readonly pollMs: number
  readonly mode: "subscribe" | "poll"
  /** Other times than those in `defaultTimes`. */
  readonly times?: Partial<CorrosionTimes>
}

/** Milliseconds. */
export interface CorrosionTimes {
  /** From a request to the head of its answer. Streams send theirs at once, whatever there is to tell. */
  readonly headMs: number
  /** A whole question with its answer, unless it is one of the two below. */
  readonly answerMs: number
  /** A whole table; the agent itself stops a query after 60 s. */
  readonly tableMs: number
  /** A whole write, tries included. */
  readonly writeMs: number
  readonly firstRetryMs: number
  readonly maxRetryMs: number
  /** Before asking again for what needs a person first: a token, a table, another address. */
  readonly slowRetryMs: number
  /** A subscription that lived this long has worked: what goes wrong next starts at the first delay. */
  readonly steadyMs: number
  /** A snapshot that stands still this long is still waited for, but polled beside. */
  readonly stallMs: number
  /** Changes that come within this time are one event. */
  readonly coalesceMs: number
  /** How long the first table waits for its companion. */
  readonly companionMs: number
  /** How often the whole table is compared with what the subscription has told. */
  readonly crossCheckMs: number
  /** How long a difference may stand before the subscription is given up: far longer than a change takes. */
  readonly differenceMs: number
}

export const defaultTimes: CorrosionTimes = {
  headMs: 10_000,
  answerMs: 5_000,
  tableMs: 60_000,
  writeMs: 5_000,
  firstRetryMs: 100,
  maxRetryMs: 5_000,
  slowRetryMs: 15_000,
  steadyMs: 5_000,
  stallMs: 30_000,
  coalesceMs: 25,
  companionMs: 2_000,
  crossCheckMs: 60_000,
  differenceMs: 5_000
}
