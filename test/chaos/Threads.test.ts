import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { why } from "../e2e/setup.ts"
import { bundle, scratch } from "../support/EdgeProcess.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, rounds, scene, timed } from "./scene.ts"
import { brazilian, load, transfer, upTo } from "./visit.ts"

/** Starts the bundle, and ends one of its threads, by turns, at each SIGUSR2: what a fault in a thread comes to. */
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
process.on("SIGUSR2", () => void running[0]?.terminate())
await import(${JSON.stringify(pathToFileURL(bundle).href)})
`

const lost = "proxy relay engine-lost"

describe.skipIf(!engines.includes("splice"))("a data-plane thread", () => {
  it.live(
    "killed under load takes its own connections with it, no other's, and newcomers are served at once",
    () =>
      Effect.gen(function* () {
        const path = join(yield* scratch, "edgeproxy.mjs")
        writeFileSync(path, program)
        const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
        const play = yield* scene(
          "splice",
          all.map(({ row }) => row()),
          { TRANSPORT_THREADS: "2" },
          { bundle: path, untouched: 0 }
        )
        const { edge } = play
        const clients = yield* load(edge.address)
        for (const round of upTo(rounds)) {
          const transfers = yield* Effect.forEach(upTo(12), (index) =>
            transfer(edge.address, brazilian(index), 100 * round + index)
          )
          const [from, entriesFrom] = [edge.logs.length, edge.entries.length]
          edge.signal("SIGUSR2")
          yield* edge.log("thread", from)
          yield* timed("a visit after a thread was killed", clients.more(1))
          yield* clients.more(50)
          // Whose thread it was is reset at once; the others go on to their end.
          const outcomes = yield* Effect.forEach(transfers, ({ finish }) => finish, { concurrency: "unbounded" })
          const ports = transfers.map(({ peer }) => peer.ports[0])
          const entryOf = (port: number) =>
            edge.entry((entry) => edge.entries.indexOf(entry) >= entriesFrom && entry.client_port === port)
          const ends = yield* Effect.forEach(ports, (port) => Effect.map(entryOf(port), why))
          assert.deepStrictEqual(
            outcomes,
            ends.map((end) => (end === lost ? "cut" : "whole"))
          )
          assert.isAbove(ends.filter((end) => end === lost).length, 0)
          assert.isAbove(ends.filter((end) => end !== lost).length, 0)
        }
        const visits = yield* clients.stop
        yield* edge.entryCount(1 + visits.length + 12 * rounds)
        const { cut = 0, ...others } = mishaps(visits)
        assert.deepStrictEqual(others, {})
        const lostHere = edge.entries.filter(({ end_cause }) => end_cause === "engine-lost")
        assert.isAtMost(cut, lostHere.length)
        yield* atRest(play, /thread/)
      }),
    patience
  )
})
