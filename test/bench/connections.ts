import * as Effect from "effect/Effect"
import { httpBackends } from "./httpBackends.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { compare, processorPer, type Workload } from "./relay.ts"
import { wrk } from "./wrk.ts"

// Short and often: what disturbs the machine for a while disturbs all proxies alike.
const SECONDS = 1
const GOAL = 1.1

const opening = (connections: number): Workload => ({
  what: `${connections} at a time`,
  through: (port) => wrk(port, { connections, seconds: SECONDS, close: true }),
  readings: [
    ...processorPer({
      name: "a connection",
      unit: "us",
      goal: GOAL,
      panel: `New connection, ${connections} at a time`
    }),
    { name: "rate", unit: "/s", better: "higher", of: ({ ms, pieces }) => (pieces * 1_000) / ms }
  ]
})

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  return {
    targets: yield* httpBackends(proxies),
    warmUps: [(port: number) => wrk(port, { connections: 64, seconds: SECONDS, close: true })],
    workloads: [opening(64), opening(1)],
    rounds: quick ? 2 : 6
  }
})

/** What a connection costs the proxy. */
export const connections: Measure = {
  name: "connections",
  how: "wrk with `Connection: close` through the proxy to nginx: open, one request, close; all from one address, so affinity decides",
  run: compare(["wrk", "nginx"], stage)
}
