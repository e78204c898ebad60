import type { BackendEvent } from "../../../src/backends/BackendEvents.ts"
import type { BackendRow } from "../../../src/dashboard/LiveMessage.ts"

/** What the codes of the stream mean, for people. */

export type Tone = "good" | "quiet" | "warn" | "bad"

type State = BackendRow[5]

export const states: Readonly<Record<State, { readonly label: string; readonly tone: Tone; readonly why: string }>> = {
  active: { label: "up", tone: "good", why: "" },
  standby: { label: "standby", tone: "quiet", why: "weight 0: bound clients only" },
  draining: { label: "draining", tone: "warn", why: "an operator said so: no new clients" },
  unhealthy: { label: "unhealthy", tone: "bad", why: "its row says healthy = 0" },
  expired: { label: "silent", tone: "bad", why: "no heartbeats any more" },
  unresolved: { label: "unresolved", tone: "bad", why: "its name leads to no address" },
  down: { label: "down", tone: "bad", why: "its checks fail" },
  "circuit-open": { label: "circuit open", tone: "bad", why: "it has failed too often in a row" },
  "circuit-half-open": { label: "on trial", tone: "warn", why: "its circuit is half-open: a few clients try it" }
}

/** Those in trouble first. */
export const stateOrder: ReadonlyArray<State> = [
  "down",
  "circuit-open",
  "unhealthy",
  "expired",
  "unresolved",
  "circuit-half-open",
  "draining",
  "standby",
  "active"
]

export const changes: Readonly<Record<BackendEvent["change"], { readonly text: string; readonly tone: Tone }>> = {
  up: { text: "is up again: its checks pass", tone: "good" },
  down: { text: "is down: its checks fail", tone: "bad" },
  "circuit-open": { text: "has failed too often in a row: its circuit is open", tone: "bad" },
  "circuit-half-open": { text: "is tried again: its circuit is half-open", tone: "warn" },
  "circuit-closed": { text: "serves again: its circuit is closed", tone: "good" },
  panic: { text: "has too few backends up: checks and circuits are ignored", tone: "bad" },
  "panic-over": { text: "has enough backends up again", tone: "good" }
}

const conditions: Readonly<Record<string, string>> = {
  draining: "shutting down",
  "no-table": "no routing table yet",
  "listener-down": "a listener is down",
  "accepting-paused": "nobody is accepted now",
  "source-lost": "the table's source is lost",
  "table-stored": "serving the stored table",
  "anycast-degraded": "the anycast route is stepped down",
  "anycast-withdrawn": "the anycast route is withdrawn",
  "anycast-unreachable": "BIRD can't be told of the anycast route",
  "table-old": "the table is old",
  "store-failing": "registrations can't be stored",
  "update-held": "an update of the table is held",
  "hosts-not-found": "names of backends lead nowhere; their last addresses stay",
  "rows-quarantined": "bad rows in the table",
  "actor-failing": "a moving part keeps failing",
  "data-plane-behind": "a data-plane thread does not keep up",
  "certificate-expiring": "a certificate ends within days",
  "certificate-rejected": "a certificate can't be used; the last good one goes on",
  "config-file": "the settings file is wrong, and not in force",
  "geo-old": "the geo database is old",
  panic: "too few backends are up"
}

export const condition = (name: string): string => conditions[name] ?? name.replaceAll("-", " ")

const causes: Readonly<Record<string, string>> = {
  fin: "finished",
  rst: "reset",
  refused: "connection refused",
  "connect-timeout": "no answer to the dial",
  unreachable: "unreachable",
  "preroute-timeout": "said nothing at first",
  "idle-timeout": "idle for too long",
  "fin-timeout": "silent after the other had finished",
  "stall-timeout": "took no bytes",
  "peer-lost": "vanished",
  "max-age": "reached its age limit",
  limit: "limit of the proxy",
  denied: "may not connect",
  "client-limit": "too many of one client",
  "rate-limit": "too fast for one client",
  overload: "overload",
  "no-backend": "no backend",
  "no-capacity": "all backends full",
  "backend-down": "its backend went down",
  forced: "end of the drain",
  killed: "ended by an operator",
  "engine-lost": "its thread died",
  internal: "fault of the proxy"
}

export const cause = (code: string): string => causes[code] ?? code.replaceAll("-", " ")

const inPhase: Readonly<Record<string, string>> = {
  "pre-route": "before routing",
  route: "choosing",
  dial: "dialling",
  relay: "",
  drain: "draining"
}

export const phase = (code: string): string => inPhase[code] ?? code
