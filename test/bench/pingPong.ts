import type { Measure } from "./Measure.ts"
import { compare, perPiece, type Workload } from "./relay.ts"
import type { Task } from "./Task.ts"

const ROUNDS = 5

const exchanging = (count: number, parallel: number): Workload => ({
  what: parallel === 1 ? "1 connection" : `${parallel} connections`,
  task: (port) => ({ kind: "ping-pong", port, count, parallel }),
  ...perPiece("an exchange", count * parallel)
})

const warmUp = (port: number): Task => ({ kind: "ping-pong", port, count: 500, parallel: 32 })

/** What a small message and its answer cost the proxy. */
export const pingPong: Measure = {
  name: "relay-ping-pong",
  how: `64 bytes there and back on open connections; measured as relay-connections; medians of ${ROUNDS} interleaved rounds`,
  run: compare([warmUp], [exchanging(8_000, 1), exchanging(400, 64)], ROUNDS)
}
