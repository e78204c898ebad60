import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdirSync, renameSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { join } from "node:path"
import { defaults } from "../e2e/setup.ts"
import { type EdgeProcess, scratch, startEdge } from "../support/EdgeProcess.ts"
import { createDatabase } from "../support/routingDb.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { engines, patience, rounds, timed } from "./scene.ts"
import { brazilian, load, upTo, visit } from "./visit.ts"

const ROWS = 300
const CHANGE_MS = 20

for (const engine of engines) {
  describe(`the proxy itself, engine ${engine}`, () => {
    it.live(
      "killed with -9 while it stores its table serves a whole one at its next start, without the source",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const directory = yield* scratch
          const database = join(directory, "routing.db")
          const away = join(directory, "away.db")
          const fillers = Array.from({ length: ROWS }, (_, index) => ({
            id: `filler-${index}`,
            app: "other",
            region: "us",
            wg_ip: "10.0.0.1",
            port: 1
          }))
          createDatabase(database, [...all.map(({ row }) => row()), ...fillers])
          const start = startEdge({ env: { ...defaults(database), TRANSPORT: engine, APP: "test" } })
          let edge: EdgeProcess = yield* start
          for (const _ of upTo(2 * rounds)) {
            const changes = yield* Effect.forkScoped(
              Effect.acquireUseRelease(
                Effect.sync(() => new DatabaseSync(database, { timeout: 1_000 })),
                (connection) =>
                  Effect.forever(
                    Effect.andThen(
                      Effect.sync(() =>
                        connection.exec("UPDATE backends SET port = port % 60000 + 1 WHERE app = 'other'")
                      ),
                      Effect.sleep(CHANGE_MS)
                    )
                  ),
                (connection) => Effect.sync(() => connection.close())
              )
            )
            const from = edge.logs.length
            const clients = yield* load(edge.address)
            // While it is busy with tables: how far with any of them, nobody knows.
            for (const count of [1, 2, 3]) {
              yield* edge.log(
                (line) =>
                  edge.logs
                    .slice(from)
                    .filter(({ message }) => message === "routing table")
                    .indexOf(line) === count
              )
            }
            edge.signal("SIGKILL")
            assert.strictEqual((yield* edge.exit).signal, "SIGKILL")
            changes.interruptUnsafe()
            const outcomes = new Set((yield* clients.stop).map(({ outcome }) => outcome))
            for (const fine of ["whole", "cut", "ECONNREFUSED"]) outcomes.delete(fine)
            assert.deepStrictEqual([...outcomes], [])

            renameSync(database, away)
            edge = yield* timed(`${engine}: from its start on it serves the stored table`, start)
            const stored = yield* edge.log("serving the stored table")
            assert.strictEqual(stored["backends"], 2 + ROWS)
            const served = yield* timed(`${engine}: a visit then`, visit(edge.address, brazilian(0), 1))
            assert.strictEqual(served.outcome, "whole")
            renameSync(away, database)
            yield* edge.log(({ message, origin }) => message === "routing table" && origin === "source")
          }
          assert.strictEqual((yield* edge.stop).code, 0)
          assert.strictEqual(edge.errorText(), "")
          // What was half written is not left lying about for ever.
          assert.deepStrictEqual(
            readdirSync(directory).filter((name) => name.endsWith(".new")),
            []
          )
        }),
      patience
    )
  })
}
