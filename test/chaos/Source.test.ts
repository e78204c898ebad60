import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { copyFileSync, mkdirSync, renameSync, rmdirSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { seededBytes } from "../support/bytes.ts"
import { insertRows, runSql } from "../support/routingDb.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { load, upTo } from "./visit.ts"

/** What happens to the file. */
const losses: ReadonlyArray<readonly [name: string, lose: (path: string) => void, clear?: (path: string) => void]> = [
  ["deleted", unlinkSync],
  ["cut to nothing", (path) => truncateSync(path, 0)],
  ["overwritten with garbage", (path) => writeFileSync(path, seededBytes(1, 30_000))],
  [
    "a directory",
    (path) => {
      unlinkSync(path)
      mkdirSync(path)
    },
    rmdirSync
  ]
]

for (const engine of engines) {
  describe(`the source, engine ${engine}`, () => {
    it.live(
      "deleted, cut, corrupted and replaced under load costs no client anything",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const late = yield* chaosBackend("late")
          const { row } = late
          const play = yield* scene(
            engine,
            all.map((one) => one.row())
          )
          const { database, directory } = play.edge
          const kept = join(directory, "kept.db")
          const next = join(directory, "next.db")
          copyFileSync(database, kept)
          const clients = yield* load(play.edge.address)
          for (const _ of upTo(rounds)) {
            for (const [name, lose, clear] of losses) {
              const from = play.edge.logs.length
              lose(database)
              yield* play.edge.log("source lost", from)
              yield* clients.more(20)
              clear?.(database)
              copyFileSync(kept, database)
              yield* timed(`${engine}: a source that was ${name} is back`, play.edge.log("source is back", from))
              yield* clients.more(5)
            }
            // Another file in its place, with one backend more, and then the first one again.
            copyFileSync(kept, next)
            insertRows(next, [row()])
            renameSync(next, database)
            yield* timed(`${engine}: a backend of a new file serves`, clients.servedBy("late"))
            runSql(database, "UPDATE backends SET weight = 0 WHERE id = 'late'")
            copyFileSync(kept, next)
            const from = play.edge.logs.length
            renameSync(next, database)
            yield* play.edge.log(({ backends, message }) => message === "routing table" && backends === 3, from)
          }
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play, /source lost/)
        }),
      patience
    )
  })
}
