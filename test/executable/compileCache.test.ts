import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { codeDirectory } from "../../layers/compileCache.ts"
import { bundleDirectory } from "../support/EdgeProcess.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const uid = process.getuid?.() ?? 0

describe.skipIf(process.platform === "win32")("compiled code", () => {
  it.effect("is kept where nobody else can put any, or nowhere", () =>
    Effect.gen(function* () {
      const place = yield* tempDirectory
      const own = join(place, `edgeproxy-${uid}-code`)
      const found = () => codeDirectory({ CACHE_DIRECTORY: place }, uid)
      assert.strictEqual(found(), own)
      assert.strictEqual(statSync(own).mode & 0o777, 0o700)
      assert.strictEqual(found(), own)
      const elsewhere = join(place, "elsewhere")
      mkdirSync(elsewhere, { mode: 0o700 })
      const hostile: ReadonlyArray<() => void> = [
        () => symlinkSync(elsewhere, own),
        () => writeFileSync(own, ""),
        () => {
          mkdirSync(own)
          chmodSync(own, 0o777)
        }
      ]
      for (const make of hostile) {
        rmSync(own, { recursive: true })
        make()
        assert.isUndefined(found())
      }
      assert.isUndefined(codeDirectory({ CACHE_DIRECTORY: "/dev/null/a" }, uid))
    })
  )

  it.effect("is never Node's own in the directory for temporary files, which somebody else may have made", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* tempDirectory
      const program = join(bundleDirectory, "edgeproxy.js")
      const { status } = spawnSync(process.execPath, [program, "config"], { env: { TMPDIR } })
      assert.strictEqual(status, 0)
      assert.deepStrictEqual(readdirSync(TMPDIR), [`edgeproxy-${uid}-code`])
      assert.isNotEmpty(readdirSync(join(TMPDIR, `edgeproxy-${uid}-code`)))
    })
  )
})
