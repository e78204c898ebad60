import type { Measure } from "./Measure.ts"
import { compare, type Workload } from "./relay.ts"
import type { Task } from "./Task.ts"

const ROUNDS = 4
const TOTAL = 2 ** 30
const GIGABYTE = 1e9

const carrying = (kind: "down" | "up", parallel: number): Workload => ({
  what: `${parallel} stream${parallel === 1 ? "" : "s"} ${kind}`,
  task: (port) => ({ kind, port, bytes: TOTAL / parallel, parallel }),
  compared: { name: "processor a GB", unit: "s", of: ({ cpuMs }) => cpuMs / 1_000 / (TOTAL / GIGABYTE) },
  shown: [
    { name: "of it user", unit: "s", of: ({ userMs }) => userMs / 1_000 / (TOTAL / GIGABYTE) },
    { name: "rate", unit: "MB/s", of: ({ ms }) => TOTAL / 1e6 / (ms / 1_000) }
  ]
})

const warmUp =
  (kind: "down" | "up") =>
  (port: number): Task => ({ kind, port, bytes: TOTAL / 8, parallel: 2 })

/** What a byte costs the proxy. */
export const bulk: Measure = {
  name: "relay-bulk",
  how: `1 GiB at a time, down is from the backend to the client; measured as relay-connections; medians of ${ROUNDS} interleaved rounds`,
  run: compare([warmUp("down"), warmUp("up")], [carrying("down", 1), carrying("up", 1), carrying("down", 8)], ROUNDS)
}
