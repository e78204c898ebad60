import type { Exemplar } from "../observe/Exemplar.ts"
import { cellsOf } from "../observe/Metric.ts"

/** Upper bounds in seconds, from a dial on the same host to one that took all its attempts. */
export const CONNECT_BOUNDS: ReadonlyArray<number> = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
]

/** Upper bounds in seconds, from a single request to a day. */
export const LIFETIME_BOUNDS: ReadonlyArray<number> = [0.01, 0.1, 1, 10, 60, 300, 1_800, 3_600, 14_400, 86_400]

/** Places in `totals`. */
export const ACCEPTED = 0
export const ENDED = 1
export const SENT = 2
export const RECEIVED = 3
export const CONNECT = 4
export const LIFETIME = CONNECT + cellsOf(CONNECT_BOUNDS)
const TOTALS = LIFETIME + cellsOf(LIFETIME_BOUNDS)

/** A listener and what has happened on it. Its connections refer to it. */
export interface ListenerCounters {
  /** As bound: port 0 is resolved once it listens. */
  address: string
  readonly app: string | undefined
  /** Its connections may be bridged by TLS. */
  readonly tls: boolean
  readonly totals: Float64Array
  /** Of sampled connections, by bucket (O1). */
  readonly connectExemplars: Array<Exemplar | undefined>
  readonly lifetimeExemplars: Array<Exemplar | undefined>
}

export const make = (address: string, app: string | undefined, tls = false): ListenerCounters => ({
  address,
  app,
  tls,
  totals: new Float64Array(TOTALS),
  connectExemplars: [],
  lifetimeExemplars: []
})
