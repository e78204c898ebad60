import * as Effect from "effect/Effect"
import { type Reading, rowsOf } from "./Comparison.ts"
import type { BenchOptions } from "./Measure.ts"
import { startProxy } from "./proxies.ts"
import { type Cost, makeRig } from "./Rig.ts"
import { turned } from "./statistics.ts"
import type { Task } from "./Task.ts"

/** Work through every proxy, and what is read off its cost. */
export interface Workload {
  readonly what: string
  readonly task: (port: number) => Task
  readonly compared: Reading<Cost>
  readonly shown: ReadonlyArray<Reading<Cost>>
}

/** Processor time and speed of work that consists of so many pieces. */
export const perPiece = (name: string, pieces: number): Pick<Workload, "compared" | "shown"> => ({
  compared: { name: `processor ${name}`, unit: "us", of: ({ cpuMs }) => (cpuMs * 1_000) / pieces },
  shown: [
    { name: "of it user", unit: "us", of: ({ userMs }) => (userMs * 1_000) / pieces },
    { name: "rate", unit: "/s", of: ({ ms }) => (pieces * 1_000) / ms }
  ]
})

/** All proxies run side by side; in each round each does each piece of work once, in turning order. */
export const compare = (
  warmUps: ReadonlyArray<(port: number) => Task>,
  workloads: ReadonlyArray<Workload>,
  rounds: number
) =>
  Effect.fnUntraced(function* (options: BenchOptions) {
    const rig = yield* makeRig(options)
    const proxies = yield* Effect.forEach(rig.kinds, (kind) => startProxy(kind, rig.target(kind)))
    const comparisons = workloads.map((workload) => ({
      ...workload,
      samples: new Map(proxies.map(({ name }): [string, Array<Cost>] => [name, []]))
    }))
    for (const task of warmUps) for (const { port } of proxies) yield* rig.perform(task(port))
    for (let round = 0; round < rounds; round++) {
      for (const { samples, task } of comparisons) {
        for (const proxy of turned(proxies, round)) {
          samples.get(proxy.name)?.push(yield* rig.cost(proxy, task(proxy.port)))
        }
      }
    }
    return [...comparisons.flatMap(rowsOf), ...rig.missing]
  })
