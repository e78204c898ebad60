import { cellsOf, observe } from "../observe/Metric.ts"
import * as Tallies from "../observe/Tallies.ts"

/**
 * Upper bounds of the dial times, in seconds. Few, since each is a series for each backend: the same site, the same metro
 * area, the same country, the same continent, another one, and 1 s, beyond which the SYN has been lost at least once.
 */
export const RTT_BOUNDS: ReadonlyArray<number> = [0.001, 0.005, 0.025, 0.1, 0.25, 1]

// Columns of a row.
const CONNECTIONS = 0
const ERRORS = 1
const SENT = 2
const RECEIVED = 3
const RTT = 4
const COLUMNS = RTT + cellsOf(RTT_BOUNDS)

/** What has happened on a backend since its record was made. */
export interface BackendTotals {
  readonly connections: number
  readonly errors: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Cells of a histogram with {@link RTT_BOUNDS}; a view that moves on with the counters. */
  readonly rtt: Float64Array
}

/** Counts what happens on backends, each in a row that its record holds from its making to its end. */
export interface BackendCounters {
  readonly allocate: () => number
  readonly free: (row: number) => void
  /** A dial succeeded, after so many microseconds: for a client, or ahead of one. */
  readonly dialled: (row: number, rttUs: number) => void
  /** A client is connected. */
  readonly connected: (row: number) => void
  /** A dial failed by the backend's fault, or the backend broke a connection off. */
  readonly failed: (row: number) => void
  /** Bytes went to the backend and came from it. */
  readonly carried: (row: number, sent: number, received: number) => void
  readonly totals: (row: number) => BackendTotals
}

export const make = (): BackendCounters => {
  const { add, allocate, arrayOf, free, get, offsetOf } = Tallies.make(COLUMNS)
  return {
    allocate,
    free,
    connected: (row) => add(row, CONNECTIONS, 1),
    dialled: (row, rttUs) => {
      observe(arrayOf(row), offsetOf(row) + RTT, RTT_BOUNDS, rttUs / 1_000_000)
    },
    failed: (row) => add(row, ERRORS, 1),
    carried: (row, sent, received) => {
      add(row, SENT, sent)
      add(row, RECEIVED, received)
    },
    totals: (row) => {
      const start = offsetOf(row)
      return {
        connections: get(row, CONNECTIONS),
        errors: get(row, ERRORS),
        bytesSent: get(row, SENT),
        bytesReceived: get(row, RECEIVED),
        rtt: arrayOf(row).subarray(start + RTT, start + COLUMNS)
      }
    }
  }
}
