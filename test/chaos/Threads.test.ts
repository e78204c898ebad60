import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { wrapped } from "../support/wrapped.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, rounds, scene, timed } from "./scene.ts"
import { brazilian, load, type Transfer, transfer, upTo } from "./visit.ts"

/** Ends a thread of the program at each SIGWINCH: what a fault in a thread comes to. */
const program = `
import * as threads from "node:worker_threads"
import { createRequire, syncBuiltinESMExports } from "node:module"
const all = createRequire(import.meta.url)("node:worker_threads")
const running = []
all.Worker = class extends threads.Worker {
  constructor(...args) {
    super(...args)
    running.push(this)
    this.once("exit", () => running.splice(running.indexOf(this), 1))
  }
}
syncBuiltinESMExports()
process.on("SIGWINCH", () => void running[0]?.terminate())
`

describe.skipIf(!engines.includes("splice"))("a data-plane thread", () => {
  it.live(
    "killed under load takes its own connections with it, no other's, and newcomers are served at once",
    () =>
      Effect.gen(function* () {
        const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
        const play = yield* scene(
          "splice",
          all.map(({ row }) => row()),
          { TRANSPORT_THREADS: "2" },
          { bundle: yield* wrapped(program), untouched: 0 }
        )
        const { edge } = play
        const clients = yield* load(edge.address)
        for (const round of upTo(rounds)) {
          const transfers = yield* Effect.forEach(upTo(12), (index) =>
            transfer(edge.address, brazilian(index), 100 * round + index)
          )
          // First one thread, with whatever part of them it has; then the other, with all that is left.
          let left: ReadonlyArray<Transfer> = transfers
          for (const which of ["first", "second"]) {
            const from = edge.logs.length
            edge.signal("SIGWINCH")
            yield* edge.log("thread died", from)
            yield* timed(`a visit after the ${which} of two threads was killed`, clients.more(1))
            yield* clients.more(50)
            left = left.filter(({ peer }) => peer.closed() === undefined)
            // They go on, back and forth.
            for (const { peer } of which === "first" ? left : []) yield* peer.awaitBytes(peer.received() + 1)
          }
          const outcomes = yield* Effect.forEach(transfers, ({ ended }) => ended, { concurrency: "unbounded" })
          assert.deepStrictEqual(
            outcomes,
            transfers.map(() => "cut")
          )
        }
        const visits = yield* clients.stop
        yield* edge.entryCount(1 + visits.length + 12 * rounds)
        const { cut = 0, ...others } = mishaps(visits)
        assert.deepStrictEqual(others, {})
        const ended = edge.entries.filter(({ end_by }) => end_by === "proxy")
        assert.isTrue(ended.every(({ end_cause }) => end_cause === "engine-lost"))
        assert.isAtMost(cut, ended.length - 12 * rounds)
        yield* atRest(play, /thread/)
      }),
    patience
  )
})
