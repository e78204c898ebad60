import * as Effect from "effect/Effect"
import type { Reading } from "./Comparison.ts"
import { httpBackends } from "./httpBackends.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { compare, processorPer, type Sample, type Workload } from "./relay.ts"
import { wrk } from "./wrk.ts"

// Short and often: what disturbs the machine for a while disturbs all proxies alike.
const SECONDS = 1
const GOAL = 1.05
const LATENCY_GOAL = 1.1

const latency = (name: "p50" | "p99", panel?: string): Reading<Sample> => ({
  name: `latency ${name}`,
  unit: "us",
  better: "lower",
  of: (sample) => sample.latency?.[name] ?? Number.NaN,
  goal: LATENCY_GOAL,
  panel
})

const asking = (connections: number): Workload => {
  const what = `${connections} connection${connections === 1 ? "" : "s"}`
  return {
    what,
    through: (port) => wrk(port, { connections, seconds: SECONDS, close: false }),
    readings: [
      ...processorPer({ name: "a request", unit: "us", goal: GOAL, panel: `Request on ${what}` }),
      latency("p50", connections === 1 ? "Latency p50, 1 connection" : undefined),
      latency("p99", connections === 1 ? "Latency p99, 1 connection" : undefined),
      { name: "rate", unit: "/s", better: "higher", of: ({ ms, pieces }) => (pieces * 1_000) / ms }
    ]
  }
}

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  return {
    targets: yield* httpBackends(proxies),
    warmUps: [(port: number) => wrk(port, { connections: 64, seconds: SECONDS, close: false })],
    workloads: [asking(64), asking(1)],
    rounds: quick ? 2 : 6
  }
})

/** What a small message and its answer cost the proxy, and how long they take. */
export const requests: Measure = {
  name: "requests",
  how: "wrk with kept connections through the proxy to nginx, one request at a time on each; latency as wrk sees it",
  run: compare(["wrk", "nginx"], stage)
}
