import type { Explanation, ExplainedOut } from "./Explanation.ts"

/** The codes of an explanation in words: the command line and the dashboard say the same. */

export const tierWords = ["same country", "client's region", "this POP's region", "any other region"] as const

export const affinityWords = {
  new: "chosen afresh",
  hit: "by its binding",
  rebound: "chosen afresh, its binding no longer serves"
} as const

export const outWords: Readonly<Record<ExplainedOut["reason"] | "binding-limit", string>> = {
  "other-app": "of another app",
  removed: "left the table",
  unhealthy: "unhealthy",
  draining: "draining",
  expired: "no heartbeats",
  standby: "weight 0: bound clients only",
  full: "at its hard limit",
  down: "down by health checks",
  "circuit-open": "its circuit is open",
  "circuit-half-open": "its circuit is on trial, with all it may take",
  "binding-limit": "the binding carries all the connections it may"
}

export const refusalWords: Readonly<Record<NonNullable<Explanation["client"]["refused"]>, string>> = {
  "denied-network": "its network may not connect",
  "denied-country": "its country may not connect",
  "client-limit": "it has as many connections as one client may",
  "rate-limit": "it has opened connections faster than one client may"
}

export const noChoiceWords = {
  "no-backend": "no backend is eligible",
  "no-capacity": "all that are eligible are full"
} as const
