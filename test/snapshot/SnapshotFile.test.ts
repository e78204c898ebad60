import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { spawnSync } from "node:child_process"
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import * as SnapshotFile from "../../layers/snapshot/SnapshotFile.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const rows = (count: number): ReadonlyArray<BackendRow> =>
  Array.from({ length: count }, (_, index) => ({
    id: `b-${index}`,
    region: "eu",
    wg_ip: "10.0.0.1",
    port: 80,
    note: 'ü\n"'
  }))

const use = <A, E>(path: string, f: (store: TableSnapshotStore["Service"]) => Effect.Effect<A, E>) =>
  TableSnapshotStore.use(f).pipe(Effect.provide(SnapshotFile.layer(path)))

describe("SnapshotFile (T3)", () => {
  it.live("gives back what was saved", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "table.snapshot")
      for (const count of [0, 1, 2_500]) {
        yield* use(path, (store) => store.save({ savedAt: 123, rows: rows(count) }))
        assert.deepStrictEqual(yield* use(path, (store) => store.load), { savedAt: 123, rows: rows(count) })
      }
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      assert.isFalse(existsSync(`${path}.${process.pid}.new`))
    }).pipe(Effect.scoped)
  )

  it.live("has nothing when none was ever saved", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "none.snapshot")
      assert.isUndefined(yield* use(path, (store) => store.load))
    }).pipe(Effect.scoped)
  )

  it.live("refuses a file that was cut at any place or changed, naming it", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "table.snapshot")
      yield* use(path, (store) => store.save({ savedAt: 123, rows: rows(3) }))
      const whole = readFileSync(path)
      for (let length = 0; length < whole.length; length += 7) {
        writeFileSync(path, whole.subarray(0, length))
        const error = yield* Effect.flip(use(path, (store) => store.load))
        assert.include(error.message, path)
      }
      const changed = Buffer.from(whole)
      changed[60] = (changed[60] ?? 0) ^ 1
      writeFileSync(path, changed)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(use(path, (store) => store.load))))
      writeFileSync(path, whole)
      appendFileSync(path, "{}\n")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(use(path, (store) => store.load))))
    }).pipe(Effect.scoped)
  )

  it.live("keeps the former table when the new one can't be written", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "table.snapshot")
      yield* use(path, (store) => store.save({ savedAt: 1, rows: rows(2) }))
      // A directory in the way of the file beside it stands for a disk that takes no more.
      yield* Effect.promise(() => mkdir(`${path}.${process.pid}.new`))
      const error = yield* Effect.flip(use(path, (store) => store.save({ savedAt: 2, rows: rows(5) })))
      assert.include(error.message, path)
      assert.deepStrictEqual(yield* use(path, (store) => store.load), { savedAt: 1, rows: rows(2) })
    }).pipe(Effect.scoped)
  )

  it.live("removes what a process that was killed has half written, and nothing else", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const path = join(directory, "table.snapshot")
      const { pid: gone } = spawnSync(process.execPath, ["-e", ""])
      const others = [`other.${gone}.new`, `table.snapshot.${process.ppid}.new`, "table.snapshot.x.new"]
      for (const name of [...others, `table.snapshot.${gone}.new`]) writeFileSync(join(directory, name), "half")
      assert.isUndefined(yield* use(path, (store) => store.load))
      assert.sameMembers(readdirSync(directory), others)
    }).pipe(Effect.scoped)
  )
})
