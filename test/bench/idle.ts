import * as Effect from "effect/Effect"
import { contestsOf, type Reading } from "./Comparison.ts"
import { makeGenerator } from "./generator.ts"
import { kinds } from "./kinds.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { connectionLimit } from "./otherKinds.ts"
import * as procfs from "./procfs.ts"
import { startProxy } from "./Proxy.ts"
import type { Task } from "./Task.ts"
import { turned } from "./statistics.ts"

const FIRST = 200
const MOST = 6_000
// Heaps grow until they have seen some work; what they have grown by then is no cost of idle connections.
const WARM_UP = 3_000
const SETTLE_MS = 1_500

const reading = (connections: number, goal: number | undefined): Reading<number> => ({
  name: "memory a connection",
  unit: "kB",
  better: "lower",
  of: (bytes) => bytes / connections / 1_024,
  goal,
  panel: goal === undefined ? undefined : "Memory of an idle connection"
})

/** What an open connection costs each of them. */
export const idleOf = (kindsOf: typeof kinds, most: number, goal: number | undefined, speaks: Pick<Task, "tls"> = {}) =>
  Effect.fnUntraced(function* (options: BenchOptions) {
    const { missing, present } = kindsOf(options)
    const connections = Math.min(most, connectionLimit() - FIRST - 100)
    const { perform, targets } = yield* makeGenerator(present.length)
    const samples = new Map(present.map(({ name }): [string, Array<number>] => [name, []]))
    const notes = new Set(missing)
    for (let round = 0; round < (options.quick ? 1 : 3); round++) {
      for (const kind of turned(present, round)) {
        const bytes = yield* Effect.scoped(
          Effect.gen(function* () {
            const { engine, pid, port } = yield* startProxy(kind, targets[present.indexOf(kind)] ?? 0, options.user)
            yield* perform({ ...speaks, kind: "connections", port, count: Math.min(most, WARM_UP), parallel: 64 })
            yield* perform({ ...speaks, kind: "hold", port, count: FIRST })
            yield* Effect.sleep(SETTLE_MS)
            const before = procfs.residentBytes(pid)
            yield* perform({ ...speaks, kind: "hold", port, count: connections })
            yield* Effect.sleep(SETTLE_MS)
            const after = procfs.residentBytes(pid)
            yield* perform({ kind: "release" })
            if (engine() !== undefined) notes.add(`${kind.name} ran with engine ${engine()}`)
            return after - before
          })
        )
        samples.get(kind.name)?.push(bytes)
      }
    }
    const what = `${connections.toLocaleString("en")} connections`
    return {
      rows: [],
      contests: contestsOf({ what, readings: [reading(connections, goal)], samples }),
      notes: [...notes]
    }
  })

/** What a connection costs that is only there. */
export const idle: Measure = {
  name: "idle",
  how:
    "growth of the proxy's own resident memory by open connections, each of another client and silent after one exchange, so with " +
    "record, binding and log; a new process each round; buffers of sockets are the kernel's, the same for all and not in it",
  run: idleOf(kinds, MOST, 1)
}
