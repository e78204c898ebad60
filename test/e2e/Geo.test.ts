import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { scratch } from "../support/EdgeProcess.ts"
import { writeMmdb } from "../support/mmdb.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { greeted, startWith } from "./setup.ts"

const database = (country: string): Uint8Array =>
  writeMmdb({
    databaseType: "Test-Country",
    ipVersion: 6,
    records: [{ cidr: "127.0.0.0/8", value: { country: { iso_code: country } } }]
  })

describe("a geo database of its own", () => {
  it.live(
    "is swapped live, and a broken one does not replace it",
    () =>
      Effect.gen(function* () {
        const path = join(yield* scratch, "geo.mmdb")
        writeFileSync(path, database("BR"))
        const rows = yield* Effect.forEach(["BR", "DE"], (country) =>
          Effect.map(serve({ onPeer: greet(country) }), (server) => rowOf(country, server, { country }))
        )
        const edge = yield* startWith(rows, { GEOIP_PATH: path, GEO_OVERRIDES: "", BINDING_TTL_SECS: "0" })
        const place = Effect.map(Effect.scoped(greeted(edge.address)), ({ name }) => name)
        assert.strictEqual(yield* place, "BR")

        const lines = edge.logs.length
        writeFileSync(`${path}.new`, database("DE"))
        renameSync(`${path}.new`, path)
        yield* edge.log("geo database replaced", lines)
        assert.strictEqual(yield* place, "DE")

        writeFileSync(path, "no database at all")
        const refused = yield* edge.log("geo database refused", lines)
        assert.include(refused.message, path)
        assert.strictEqual(yield* place, "DE")
      }),
    40_000
  )
})
