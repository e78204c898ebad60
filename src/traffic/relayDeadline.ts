import type { Termination } from "../domain/Termination.ts"
import type { RelayLimits } from "./Transport.ts"

/** When what happened on a relay, in milliseconds of one clock; 0 means not (yet). */
export interface RelayTimes {
  readonly startedAt: number
  readonly lastByteAt: number
  /** The first side has finished. */
  readonly finishedAt: number
  /** The side takes nothing since then although bytes wait for it. */
  readonly clientStalledAt: number
  readonly backendStalledAt: number
}

const ended = (by: Termination["by"], cause: Termination["cause"]): Termination => ({ by, phase: "relay", cause })

const clientStalled = ended("client", "stall-timeout")
const backendStalled = ended("backend", "stall-timeout")
const finTimeout = ended("proxy", "fin-timeout")
const idleTimeout = ended("proxy", "idle-timeout")
const tooOld = ended("proxy", "max-age")

const dueAt = (since: number, limitMs: number): number => (since > 0 && limitMs > 0 ? since + limitMs : Infinity)

/** How a relay has to end by its limits (C3), or else the time to look again; Infinity when nothing limits it. */
export const relayDeadline = (times: RelayTimes, limits: RelayLimits, now: number): Termination | number => {
  const client = dueAt(times.clientStalledAt, limits.stallMs)
  if (client <= now) return clientStalled
  const backend = dueAt(times.backendStalledAt, limits.stallMs)
  if (backend <= now) return backendStalled
  const fin = times.finishedAt > 0 ? dueAt(Math.max(times.finishedAt, times.lastByteAt), limits.finMs) : Infinity
  if (fin <= now) return finTimeout
  const idle = dueAt(times.lastByteAt, limits.idleMs)
  if (idle <= now) return idleTimeout
  const age = dueAt(times.startedAt, limits.maxAgeMs)
  if (age <= now) return tooOld
  return Math.min(client, backend, fin, idle, age)
}
