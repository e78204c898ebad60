import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Edge, startWith, why } from "../e2e/setup.ts"
import { type EdgeOptions } from "../support/EdgeProcess.ts"
import { countFds } from "../support/fds.ts"
import type { Row } from "../support/routingDb.ts"
import { eventually } from "../support/Watch.ts"
import { type ChaosBackend, chaosBackend } from "./chaosBackend.ts"
import { brazilian, type Outcome, transfer, upTo, visit, type Visit } from "./visit.ts"

export const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

/** `npm run chaos` goes through everything more often. */
export const rounds = Number(process.env["CHAOS_ROUNDS"] ?? "1")
export const patience = 60_000 + rounds * 10_000

/** Figures for people, in the long form only. */
export const tell = (what: string, figure: number, unit = " ms"): Effect.Effect<void> =>
  Effect.sync(() => {
    if (rounds > 1) process.stdout.write(`chaos: ${what}: ${Math.round(figure)}${unit}\n`)
  })

export const timed = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.tap(effect, () => tell(what, performance.now() - startedAt))
  })

/** A proxy before anything happens to it. */
export interface Scene {
  readonly edge: Edge
  /** Nothing happens to this one, which serves the clients of Germany, and others when there is nobody else. */
  readonly steady: ChaosBackend
  /** Its file descriptors at rest. */
  readonly fds: number
  /** Ends the transfers that went on all the time: every one of them must be whole. */
  readonly finishUntouched: Effect.Effect<void>
}

const UNTOUCHED = 3
const german = (index: number): string => `127.3.0.${1 + index}`
const hasProc = countFds() !== undefined

interface SceneOptions extends Omit<EdgeOptions, "env"> {
  /** Puts the rows where the proxy is told to look for them, instead of into its SQLite file. */
  readonly publish?: (rows: ReadonlyArray<Row>) => Effect.Effect<void>
  /** How many transfers go on all the time; a case that ends connections blindly has its own. */
  readonly untouched?: number
}

export const scene = Effect.fnUntraced(function* (
  TRANSPORT: string,
  rows: ReadonlyArray<Row>,
  env: Readonly<Record<string, string>> = {},
  { publish, untouched: count = UNTOUCHED, ...options }: SceneOptions = {}
) {
  const steady = yield* chaosBackend("steady")
  const all = [...rows, steady.row({ region: "eu", country: "DE" })]
  if (publish !== undefined) yield* publish(all)
  const edge = yield* startWith(
    publish === undefined ? all : [],
    { TRANSPORT, OVERLOAD_LOOP_DELAY_MS: "10000", ...env },
    options
  )
  assert.strictEqual((yield* visit(edge.address, german(99), 0)).outcome, "whole")
  yield* edge.entryCount(1)
  // It begins after the listeners.
  yield* edge.log("API endpoint")
  const fds = countFds(edge.pid) ?? 0
  const untouched = yield* Effect.forEach(upTo(count), (index) => transfer(edge.address, german(index), index))
  return {
    edge,
    steady,
    fds,
    finishUntouched: Effect.gen(function* () {
      const outcomes = yield* Effect.forEach(untouched, ({ finish }) => finish, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        outcomes,
        untouched.map((): Outcome => "whole")
      )
    })
  } satisfies Scene
})

/** The whole ones apart, how many there are of each outcome. */
export const mishaps = (visits: ReadonlyArray<Visit>): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { outcome } of visits) if (outcome !== "whole") counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

/** Connections that the proxy itself ended, or that it found no backend for. */
export const proxyEnds = (edge: Edge): ReadonlyArray<string> =>
  edge.entries.filter((entry) => entry.end_by === "proxy" || entry.end_phase !== "relay").map(why)

/**
 * What holds when all is over: the untouched transfers are whole, everybody is served, no descriptor is left over, and the
 * process ends in order without a connection it had forgotten. `expected` are the errors that the case itself calls for.
 */
export const atRest = Effect.fnUntraced(function* (scene: Scene, expected = /^$/) {
  const { edge, fds, finishUntouched } = scene
  yield* finishUntouched
  for (const from of [german(98), brazilian(7), "127.9.0.1"]) {
    assert.strictEqual((yield* visit(edge.address, from, 1)).outcome, "whole", from)
  }
  if (hasProc) {
    yield* eventually(
      () => `as many descriptors as before: ${fds}, now ${countFds(edge.pid)}`,
      () => (countFds(edge.pid) ?? Infinity) <= fds
    )
  }
  edge.signal("SIGTERM")
  // A connection that it had forgotten to end would hold it up until it forces that.
  assert.deepStrictEqual(yield* edge.exit, { code: 0, signal: null })
  assert.deepInclude(edge.logs.at(-1), { message: "drained", forced: 0 })
  const errors = edge.logs.filter(({ level }) => level === "error" || level === "fatal").map(({ message }) => message)
  assert.deepStrictEqual(
    errors.filter((message) => !expected.test(message)),
    []
  )
  assert.strictEqual(edge.errorText(), "")
  assert.strictEqual(new Set(edge.entries.map(({ conn }) => conn)).size, edge.entries.length)
})
