import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { EdgeConfig } from "../../src/config/EdgeConfig.ts"

describe("EdgeConfig.layerFrom", () => {
  it.effect("is the defaults with some fields replaced", () =>
    Effect.gen(function* () {
      const config = yield* EdgeConfig
      assert.strictEqual(config.region, "eu")
      assert.strictEqual(config.connectTimeoutMs, 3_000)
      assert.strictEqual(config.popId, "localhost")
      assert.strictEqual(config.snapshotPath, "routing.db.snapshot")
    }).pipe(Effect.provide(EdgeConfig.layerFrom({ region: "eu" })))
  )

  it.effect("keeps the snapshot next to the database", () =>
    Effect.gen(function* () {
      const config = yield* EdgeConfig
      assert.strictEqual(config.snapshotPath, "/tmp/x.db.snapshot")
    }).pipe(Effect.provide(EdgeConfig.layerFrom({ dbPath: "/tmp/x.db" })))
  )

  it.effect("turns the snapshot off when told so", () =>
    Effect.gen(function* () {
      const config = yield* EdgeConfig
      assert.isUndefined(config.snapshotPath)
    }).pipe(Effect.provide(EdgeConfig.layerFrom({ dbPath: "/tmp/x.db", snapshotPath: undefined })))
  )
})
