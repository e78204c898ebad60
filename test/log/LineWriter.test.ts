import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { constants, openSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { openLineWriter } from "../../layers/log/LineWriter.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const line = (index: number): string => `${index} ${"x".repeat(index % 300)}`

describe("LineWriter", () => {
  it.live("writes every line, whole and in order", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "access.log")
      const writer = openLineWriter({ path })
      const lines = Array.from({ length: 20_000 }, (_, index) => line(index))
      for (const each of lines) assert.isTrue(writer.write(each))
      yield* Effect.promise(() => writer.close(5_000))
      assert.strictEqual(readFileSync(path, "utf8"), `${lines.join("\n")}\n`)
      assert.strictEqual(writer.dropped(), 0)
    }).pipe(Effect.scoped)
  )

  it.live("goes on in a new file after a rotation", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "access.log")
      const writer = openLineWriter({ path })
      writer.write("before")
      renameSync(path, `${path}.1`)
      writer.reopen()
      writer.write("after")
      yield* Effect.promise(() => writer.close(5_000))
      // Lines that were still waiting may go to either file, but none is lost and the last is in the new one.
      const rotated = readFileSync(`${path}.1`, "utf8")
      const current = readFileSync(path, "utf8")
      assert.strictEqual(rotated + current, "before\nafter\n")
      assert.include(current, "after")
    }).pipe(Effect.scoped)
  )

  it.live("drops and counts lines of a reader that stalls, and still closes in time", () =>
    Effect.gen(function* () {
      const pipe = join(yield* tempDirectory, "pipe")
      execFileSync("mkfifo", [pipe])
      // A reader that never reads: the pipe holds some 64 kB and then no more.
      openSync(pipe, constants.O_RDWR)
      const writer = openLineWriter({ path: pipe })
      let refused = 0
      for (let index = 0; index < 100_000; index++) if (!writer.write("y".repeat(100))) refused++
      assert.isAbove(refused, 50_000)
      assert.strictEqual(writer.dropped(), refused)
      const closed = Effect.promise(() => writer.close(50)).pipe(Effect.timeoutOption("5 seconds"))
      assert.strictEqual((yield* closed)._tag, "Some")
    }).pipe(Effect.scoped)
  )
})
