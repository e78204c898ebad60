import * as Effect from "effect/Effect"
import { makeGenerator } from "./generator.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { compare, processorPer } from "./relay.ts"

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  const { perform, targets } = yield* makeGenerator(proxies)
  const opening = (count: number) => (port: number) =>
    Effect.map(perform({ kind: "connections", port, count, parallel: 64 }), (ms) => ({ pieces: count, ms }))
  return {
    targets,
    warmUps: [opening(quick ? 4_000 : 12_000)],
    workloads: [
      {
        what: "64 at a time",
        through: opening(5_000),
        readings: processorPer({ name: "a connection", unit: "us", panel: "New client, 64 at a time" })
      }
    ],
    rounds: quick ? 2 : 5
  }
})

/** What a connection costs the proxy when each is from another client. */
export const clients: Measure = {
  name: "clients",
  how: "each connection from another address of 20,000, so there is a choice to make and a binding to keep; generator and backend of our own, 64 bytes there and back",
  run: compare([], stage)
}
