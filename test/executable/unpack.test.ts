import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { type Packed, unpack } from "../../layers/executable/unpack.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const packed: Packed = {
  digest: "0123456789abcdef",
  files: new Map([
    ["package.json", Buffer.from("{}")],
    ["node_modules/a/b.node", Buffer.from([0, 255])]
  ])
}
const uid = process.getuid?.() ?? 0

describe("what is unpacked", () => {
  it.effect("is there as a whole, for this user alone, and once", () =>
    Effect.gen(function* () {
      const place = join(yield* tempDirectory, "made/too")
      const directory = unpack(packed, place, uid)
      assert.deepStrictEqual(readFileSync(join(directory, "node_modules/a/b.node")), Buffer.from([0, 255]))
      for (const path of ["", "node_modules/a", "package.json"]) {
        assert.strictEqual(statSync(join(directory, path)).mode & 0o077, 0, path)
      }
      writeFileSync(join(directory, "mark"), "")
      assert.strictEqual(unpack(packed, place, uid), directory)
      assert.include(readdirSync(directory), "mark")
      assert.notStrictEqual(unpack({ ...packed, digest: "other" }, place, uid), directory)
      assert.lengthOf(readdirSync(place), 2)
    })
  )

  it.effect("is never taken from a directory that others could have filled", () =>
    Effect.gen(function* () {
      const place = yield* tempDirectory
      const elsewhere = unpack(packed, join(place, "elsewhere"), uid)
      const path = join(place, basename(elsewhere))
      const hostile: ReadonlyArray<() => void> = [
        () => chmodSync(unpack(packed, place, uid), 0o770),
        () => symlinkSync(elsewhere, path),
        () => writeFileSync(path, ""),
        () => mkdirSync(path, { mode: 0o755 })
      ]
      for (const make of hostile) {
        make()
        assert.throws(() => unpack(packed, place, uid), /not this user's alone/)
        rmSync(path, { recursive: true })
      }
      // Another user's, by its name and by its owner.
      mkdirSync(join(place, `edgeproxy-${uid + 1}-${packed.digest}`), { mode: 0o700 })
      assert.throws(() => unpack(packed, place, uid + 1), /not this user's alone/)
    })
  )

  it.effect(
    "is made whole again where files of it are gone, as after a cleaning of /tmp, or cut short, as after a power failure",
    () =>
      Effect.gen(function* () {
        const place = yield* tempDirectory
        const directory = unpack(packed, place, uid)
        const addon = join(directory, "node_modules/a/b.node")
        const harm: ReadonlyArray<() => void> = [
          () => rmSync(addon),
          () => rmSync(join(directory, "node_modules"), { recursive: true }),
          () => writeFileSync(addon, "")
        ]
        for (const spoil of harm) {
          spoil()
          assert.strictEqual(unpack(packed, place, uid), directory)
          assert.deepStrictEqual(readFileSync(addon), Buffer.from([0, 255]))
          assert.deepStrictEqual(readdirSync(directory).toSorted(), ["node_modules", "package.json"])
          assert.deepStrictEqual(readdirSync(join(directory, "node_modules/a")), ["b.node"])
          assert.strictEqual(statSync(addon).mode & 0o077, 0)
        }
        assert.lengthOf(readdirSync(place), 1)
      })
  )

  it.effect("leaves nothing half made where it can't be", () =>
    Effect.gen(function* () {
      const place = yield* tempDirectory
      const clash: Packed = {
        ...packed,
        files: new Map([
          ["a", Buffer.from("")],
          ["a/b", Buffer.from("")]
        ])
      }
      assert.throws(() => unpack(clash, place, uid))
      assert.deepStrictEqual(readdirSync(place), [])
    })
  )
})
