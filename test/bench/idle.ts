import * as Effect from "effect/Effect"
import { rowsOf } from "./Comparison.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import * as procfs from "./procfs.ts"
import { startProxy } from "./proxies.ts"
import { makeRig } from "./Rig.ts"
import { turned } from "./statistics.ts"

const ROUNDS = 3
const FIRST = 200
const CONNECTIONS = 2_000
// Heaps grow until they have seen some work; what they have grown by then is no cost of idle connections.
const WARM_UP = 3_000
const SETTLE_MS = 300

const run = Effect.fnUntraced(function* (options: BenchOptions) {
  const rig = yield* makeRig(options)
  const samples = new Map(rig.kinds.map(({ name }): [string, Array<number>] => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of turned(rig.kinds, round)) {
      const bytes = yield* Effect.scoped(
        Effect.gen(function* () {
          const { pid, port } = yield* startProxy(kind, rig.target(kind))
          yield* rig.perform({ kind: "connections", port, count: WARM_UP, parallel: 64 })
          yield* rig.perform({ kind: "hold", port, count: FIRST })
          yield* Effect.sleep(SETTLE_MS)
          const before = procfs.residentBytes(pid)
          yield* rig.perform({ kind: "hold", port, count: CONNECTIONS })
          yield* Effect.sleep(SETTLE_MS)
          const after = procfs.residentBytes(pid)
          yield* rig.perform({ kind: "release" })
          return after - before
        })
      )
      samples.get(kind.name)?.push(bytes)
    }
  }
  const compared = { name: "memory a connection", unit: "kB", of: (bytes: number) => bytes / CONNECTIONS / 1_024 }
  return [...rowsOf({ what: "idle", compared, samples }), ...rig.missing]
})

/** What a connection costs that is only there. */
export const idle: Measure = {
  name: "relay-idle",
  how:
    `growth of the proxy's resident memory by ${CONNECTIONS.toLocaleString("en")} open connections that are silent after one exchange; ` +
    `a new process each round, medians of ${ROUNDS} rounds`,
  run
}
