import type { Level } from "./Level.ts"

/** What the announcement depends on. */
export interface PopHealth {
  readonly draining: boolean
  /** Why `/ready` says no, draining aside. */
  readonly notReady: ReadonlyArray<string>
  /** Backends of the served apps that take new clients and of which nothing bad is seen. */
  readonly backends: number
  /** EDGEPROXY_ANYCAST_MIN_BACKENDS; 0 never withdraws for want of backends. */
  readonly minBackends: number
  /** Resources that are over their limit. */
  readonly overloads: ReadonlyArray<string>
  /** Connections, as a share of the most there may be: file descriptors set that limit. */
  readonly fullness: number
}

export interface Verdict {
  readonly level: Level
  /** Not to be waited with: clients that come meanwhile are lost. */
  readonly urgent: boolean
  /** Why it is not `announced`. */
  readonly reasons: ReadonlyArray<string>
}

/** From here on newcomers had better go elsewhere, while there still is room for those that come all the same. */
export const NEARLY_FULL = 0.9

/** Where the POP ought to stand, as it is at this moment. */
export const verdictOf = ({ backends, draining, fullness, minBackends, notReady, overloads }: PopHealth): Verdict => {
  if (draining) return { level: "withdrawn", urgent: true, reasons: ["draining"] }
  if (notReady.length > 0) return { level: "withdrawn", urgent: true, reasons: notReady }
  if (backends < minBackends) return { level: "withdrawn", urgent: false, reasons: ["too-few-backends"] }
  const strains = [
    ...overloads.map((resource) => `overload-${resource}`),
    ...(fullness >= NEARLY_FULL ? ["nearly-full"] : []),
    ...(backends === 0 ? ["no-backend"] : [])
  ]
  return { level: strains.length > 0 ? "degraded" : "announced", urgent: false, reasons: strains }
}
