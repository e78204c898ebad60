import * as Effect from "effect/Effect"
import type { Cause, Termination } from "../domain/Termination.ts"
import * as TokenBucket from "../domain/TokenBucket.ts"
import type { ConnectionRecord } from "./Connections.ts"
import type { RejectReason } from "./TrafficCounters.ts"

const causes: Readonly<Record<RejectReason, Cause>> = {
  limit: "limit",
  overload: "overload",
  "denied-network": "denied",
  "denied-country": "denied",
  "client-limit": "client-limit",
  "rate-limit": "rate-limit",
  "untrusted-peer": "untrusted-peer",
  "no-address": "internal"
}

/** How a connection ends that is turned away at once. */
export const refusalTermination = (reason: RejectReason): Termination => ({
  by: "proxy",
  phase: "pre-route",
  cause: causes[reason]
})

/** Access-log lines of one reason: ten a second, so that no flood of one hides another, or the log. */
const lines: TokenBucket.Rate = { burst: 10, perMs: 0.01 }

const TELL_MS = 10_000

export interface RefusalsOptions {
  readonly now: () => number
  /** Writes the access-log line of a refused connection. */
  readonly write: (record: ConnectionRecord, why: Termination) => void
  readonly fork: (tell: Effect.Effect<void>) => void
}

/**
 * Tells of those who are turned away: a line each in the access log as long as they are few, and their number in the
 * diagnostic log, at once and then every ten seconds while it goes on. Under a flood a line for each would be one more load.
 */
export interface Refusals {
  readonly refused: (record: ConnectionRecord, reason: RejectReason) => void
  /** Those of whom no more is known than why. */
  readonly counted: (reason: string, count: number) => void
}

export const make = ({ fork, now, write }: RefusalsOptions): Refusals => {
  const buckets = new Map<RejectReason, TokenBucket.FullAt>()
  let untold = new Map<string, number>()
  let telling = false

  const tell = Effect.gen(function* () {
    while (untold.size > 0) {
      const reasons = Object.fromEntries(untold)
      untold = new Map()
      const refused = Object.values(reasons).reduce((sum, count) => sum + count, 0)
      yield* Effect.logWarning("connections refused", { refused, reasons })
      yield* Effect.sleep(TELL_MS)
    }
  }).pipe(Effect.ensuring(Effect.sync(() => void (telling = false))))

  const counted = (reason: string, count: number): void => {
    untold.set(reason, (untold.get(reason) ?? 0) + count)
    if (telling) return
    telling = true
    fork(tell)
  }

  return {
    counted,
    refused: (record, reason) => {
      counted(reason, 1)
      const left = TokenBucket.take(buckets.get(reason) ?? -Infinity, lines, now())
      if (left === undefined) return
      buckets.set(reason, left)
      write(record, refusalTermination(reason))
    }
  }
}
