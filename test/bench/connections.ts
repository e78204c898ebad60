import type { Measure } from "./Measure.ts"
import { compare, perPiece, type Workload } from "./relay.ts"
import type { Task } from "./Task.ts"

const ROUNDS = 5

const opening = (count: number, parallel: number): Workload => ({
  what: `${parallel} at a time`,
  task: (port) => ({ kind: "connections", port, count, parallel }),
  ...perPiece("a connection", count)
})

// Compilers and heap of a Node proxy need this many before they are at rest.
const warmUp = (port: number): Task => ({ kind: "connections", port, count: 12_000, parallel: 64 })

/** What a connection costs the proxy. */
export const connections: Measure = {
  name: "relay-connections",
  how:
    "open, 64 bytes there and back, close; processor time of the proxy's process (user and system, all threads); HAProxy and nginx " +
    `with one thread, without choice and log; medians of ${ROUNDS} interleaved rounds, ratios taken round by round`,
  run: compare([warmUp], [opening(5_000, 64), opening(1_500, 1)], ROUNDS)
}
