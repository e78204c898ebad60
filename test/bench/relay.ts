import * as Effect from "effect/Effect"
import { note, rowsOf } from "./Comparison.ts"
import type { BenchOptions } from "./Measure.ts"
import { type Cost, makeRig } from "./Rig.ts"
import { startProxy } from "./proxies.ts"
import { turned } from "./statistics.ts"
import type { Task } from "./Task.ts"

/** Work through every proxy, and the figure that comes out of what it cost. */
export interface Workload {
  readonly what: string
  readonly task: (port: number) => Task
  readonly name: string
  readonly unit: string
  readonly figure: (cost: Cost) => number
  readonly rateUnit: string
  readonly rate: (cost: Cost) => number
}

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
      workload,
      samples: new Map<string, Array<number>>(),
      rates: new Map<string, Array<number>>()
    }))
    for (const task of warmUps) for (const { port } of proxies) yield* rig.perform(task(port))
    for (let round = 0; round < rounds; round++) {
      for (const { rates, samples, workload } of comparisons) {
        for (const proxy of turned(proxies, round)) {
          const cost = yield* rig.cost(proxy, workload.task(proxy.port))
          note(samples, proxy.name, workload.figure(cost))
          note(rates, proxy.name, workload.rate(cost))
        }
      }
    }
    const order = proxies.map(({ name }) => name)
    const sorted = (samples: Map<string, Array<number>>) =>
      new Map(order.map((name) => [name, samples.get(name) ?? []]))
    return [
      ...comparisons.flatMap(({ rates, samples, workload: { name, rateUnit, unit, what } }) =>
        rowsOf({ what, name, unit, samples: sorted(samples), rates: { unit: rateUnit, samples: sorted(rates) } })
      ),
      ...rig.missing
    ]
  })
