import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { meshBed, missingForMesh } from "../wireguard/bed.ts"
import type { Machine } from "../support/machine.ts"

/** What a tunnel of user-space WireGuard costs, beside the same cable without one: `node test/bench/wireguard.ts`, after a build. */

const SECONDS = 4
const ROUNDS = 3

interface Iperf {
  readonly error?: string
  readonly end: { readonly sum_received?: { readonly bits_per_second: number } }
}

const median = (values: ReadonlyArray<number>): number =>
  Array.from(values).sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const throughput = (from: Machine, address: string): number => {
  const { end, error } = JSON.parse(from.run(`iperf3 -c ${address} -t ${SECONDS} -J`)) as Iperf
  if (end.sum_received === undefined) throw new Error(`iperf3: ${error}`)
  return end.sum_received.bits_per_second / 1e9
}

/** Milliseconds there and back: the median of 500. */
const roundTrip = (from: Machine, address: string): number =>
  median(
    Array.from(from.run(`ping -c 500 -i 0.002 ${address}`).matchAll(/time=([\d.]+)/g), ([, ms = "0"]) => Number(ms))
  )

const program = Effect.gen(function* () {
  const missing = missingForMesh()
  if (missing !== undefined) return yield* Console.error(missing)
  const { machines } = yield* meshBed
  const [from, to] = [machines["sa-1"], machines["pop-sa"]]
  to.start("iperf3", ["-s"])
  yield* from.retry("ping -c1 -W1 10.50.0.1")
  const cable: Array<readonly [number, number]> = []
  const tunnel: Array<readonly [number, number]> = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const [results, address] of [
      [cable, "198.51.100.2"],
      [tunnel, "10.50.0.1"]
    ] as const) {
      yield* from.retry(`iperf3 -c ${address} -n 1K`)
      results.push([throughput(from, address), roundTrip(from, address)])
    }
  }
  for (const [name, results] of Object.entries({ cable, tunnel })) {
    const [gbits, ms] = [median(results.map(([gbits]) => gbits)), median(results.map(([, ms]) => ms))]
    yield* Console.log(`${name}: ${gbits.toFixed(2)} Gbit/s, ${(ms * 1_000).toFixed(0)} us there and back`)
  }
})

await Effect.runPromise(Effect.scoped(program))
