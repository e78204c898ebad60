import type { DialError } from "./Transport.ts"

/** Why dials fail, as labels and attributes have it. */
export const dialReasons: Readonly<Record<DialError["reason"], string>> = {
  Refused: "refused",
  Timeout: "timeout",
  Unreachable: "unreachable",
  Reset: "rst",
  NoPorts: "no-ports",
  NoFds: "no-fds",
  NoMem: "no-memory",
  Denied: "denied",
  Gone: "client-gone",
  Tls: "tls",
  WarmGone: "warm-gone"
}
