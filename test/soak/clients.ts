import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { exchange, type Plan } from "./exchange.ts"
import type { Ledger } from "./Ledger.ts"

interface Kind {
  readonly name: string
  /** Connections of the kind that are open at the same time. */
  readonly lanes: number
  /** Between two of a lane. */
  readonly restMs: number
  readonly plan: (index: number) => Plan
}

/** Hundreds of connections, some tens of new ones and some tens of megabytes a second: half of what two cores carry. */
export const kinds: ReadonlyArray<Kind> = [
  {
    name: "short",
    lanes: 4,
    restMs: 60,
    plan: (index) => ({ size: 1 + ((index * 7_919) % 20_000), times: 1, pauseMs: 0, end: "waits" })
  },
  {
    name: "half-closed",
    lanes: 2,
    restMs: 80,
    plan: (index) => ({ size: 1 + ((index * 104_729) % 300_000), times: 1, pauseMs: 0, end: "half-close" })
  },
  {
    name: "reset",
    lanes: 1,
    restMs: 100,
    plan: (index) => ({ size: 50_000, times: 1 + (index % 3), pauseMs: 0, end: "reset" })
  },
  {
    name: "kept open",
    lanes: 60,
    restMs: 500,
    plan: (index) => ({ size: 200, times: 50 + (index % 100), pauseMs: 400, end: "waits" })
  },
  {
    name: "bulk",
    lanes: 1,
    restMs: 2_000,
    plan: (index) => ({ size: 65_536, times: 100 + (index % 200), pauseMs: 0, end: "waits" })
  },
  {
    name: "idle",
    lanes: 100,
    restMs: 500,
    plan: (index) => ({ size: 100, times: 2, pauseMs: 10_000 + ((index * 1_009) % 40_000), end: "waits" })
  }
]

/** Every second client is one of Germany, whose backend stays; the others are of Brazil, many of whom come only once. */
export const isSpared = (index: number): boolean => index % 2 === 0

const addressOf = (index: number): string => {
  const [high, low] = [Math.floor(index / 250) % 250, 1 + (index % 250)]
  return `127.${isSpared(index) ? 3 : 1}.${high}.${low}`
}

/**
 * Clients of every kind until `stopped` says so; those under way are finished then. A client that is spared must get
 * everything; another one may lose his connection with a backend that was killed, and nothing else.
 */
export const clients = Effect.fnUntraced(function* (to: Endpoint, ledger: Ledger, stopped: () => boolean) {
  let next = 0
  const one = Effect.fnUntraced(function* ({ name, plan }: Kind) {
    const index = next++
    const startedAt = performance.now()
    const { backend, outcome } = yield* exchange(to, addressOf(index), plan(index), index)
    const fine = outcome === "whole" || (plan(index).end === "reset" && outcome === "cut")
    if (fine) return ledger.count(name)
    const excused = outcome === "cut" && !isSpared(index) && ledger.excuses(backend, startedAt, performance.now())
    if (excused) return ledger.count(`${name}, lost with a killed backend`)
    const took = Math.round(performance.now() - startedAt)
    ledger.wrong(`${name} client ${addressOf(index)} at ${backend || "nobody"}: ${outcome} after ${took} ms`)
  })
  const lane = Effect.fnUntraced(function* (kind: Kind, lane: number) {
    // Not all in step.
    yield* Effect.sleep((lane * 97) % 2_000)
    while (!stopped()) {
      yield* one(kind).pipe(
        Effect.catchCause((cause) => Effect.sync(() => ledger.wrong(`${kind.name}: ${Cause.pretty(cause)}`)))
      )
      yield* Effect.sleep(kind.restMs)
    }
  })
  const lanes = kinds.flatMap((kind) => Array.from({ length: kind.lanes }, (_, index) => lane(kind, index)))
  yield* Effect.all(lanes, { concurrency: "unbounded", discard: true })
})
