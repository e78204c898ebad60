import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as TomlFile from "../../layers/config/TomlFile.ts"
import * as MaxMindGeo from "../../layers/maxmind/MaxMindGeo.ts"
import * as SnapshotFile from "../../layers/snapshot/SnapshotFile.ts"
import * as SqliteSource from "../../layers/sqlite/SqliteSource.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { ConfigFile } from "../../src/config/LiveConfig.ts"
import { clientFromText } from "../../src/domain/Client.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { BackendSource } from "../../src/routing/BackendSource.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { writeMmdb } from "../support/mmdb.ts"
import { beginnings, fuzzRounds, mutants } from "../support/mutants.ts"
import { createDatabase } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const PATIENCE = "5 seconds"
const TIMEOUT = 60_000 * (1 + fuzzRounds)
const quiet = Logger.layer([])

/** Each is read, or refused with an error of a kind that is known: a defect, and a wait without end, are neither. */
const outcomes = Effect.fnUntraced(function* <A, E>(
  files: Iterable<Uint8Array>,
  path: string,
  read: Effect.Effect<A, E>,
  good: (value: A) => void
) {
  let [taken, refused] = [0, 0]
  for (const file of files) {
    writeFileSync(path, file)
    const exit = yield* read.pipe(
      Effect.result,
      Effect.timeoutOrElse({ duration: PATIENCE, orElse: () => Effect.die(new Error("it hangs")) }),
      Effect.exit
    )
    if (Exit.isFailure(exit)) {
      return assert.fail(`${String(exit.cause)}: ${Buffer.from(file).toString("base64").slice(0, 4_000)}`)
    }
    if (exit.value._tag === "Failure") refused++
    else {
      taken++
      good(exit.value.success)
    }
  }
  return { taken, refused }
})

describe("a geo database with damage", () => {
  const clients = ["8.8.8.8", "200.160.0.8", "1.2.3.4", "2001:4860:4860::8888", "::1"].map((text) =>
    clientFromText(text)
  )
  const whole = writeMmdb({
    databaseType: "Test-Country",
    ipVersion: 6,
    records: [
      { cidr: "8.0.0.0/8", value: { country: { iso_code: "US" } } },
      { cidr: "200.0.0.0/8", value: { country: { iso_code: "BR" } } },
      { cidr: "2001:4860::/32", value: { country_code: "DE" } }
    ]
  })
  it.live(
    "is refused, or resolves every client to a country or none",
    () =>
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "geo.mmdb")
        const open = GeoResolver.use(({ resolve }) =>
          Effect.sync(() => clients.map((client) => (client === undefined ? undefined : resolve(client).country)))
        ).pipe(
          Effect.provide(
            MaxMindGeo.layer({ path, overrides: [] }).pipe(Layer.provide([Supervisor.layer, Conditions.layer, quiet]))
          )
        )
        const files = [...beginnings(whole, 3), ...mutants(whole, 1_200)]
        const { refused, taken } = yield* outcomes(files, path, open, (countries) => {
          for (const country of countries) assert.isTrue(country === undefined || /^[A-Z]{2}$/.test(country))
        })
        assert.isAbove(taken, 100)
        assert.isAbove(refused, 100)
      }).pipe(Effect.scoped),
    TIMEOUT
  )
})

describe("a stored table with damage", () => {
  it.live(
    "is refused wherever a byte is another one, and at each cut",
    () =>
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "table.snapshot")
        const store = Effect.provide(TableSnapshotStore, SnapshotFile.layer(path))
        const rows = [1, 2, 3].map((index) => ({ id: `b${index}`, region: "sa", wg_ip: "10.0.0.1", port: 80 }))
        yield* Effect.flatMap(store, ({ save }) => save({ savedAt: 123, rows }))
        const whole = readFileSync(path)
        const load = Effect.flatMap(store, ({ load }) => load)
        const flipped = Array.from(whole, (byte, at) => {
          const copy = Buffer.from(whole)
          copy[at] = byte ^ (1 << (at % 8))
          return copy
        })
        // Only the line end after the checksum says nothing.
        const most = yield* outcomes([...flipped.slice(0, -2), ...beginnings(whole.subarray(0, -2))], path, load, () =>
          assert.fail("taken")
        )
        assert.strictEqual(most.taken, 0)
        yield* outcomes(mutants(whole, 500), path, load, (table) => assert.deepStrictEqual(table?.rows, rows))
      }).pipe(Effect.scoped),
    TIMEOUT
  )
})

describe("a configuration file with damage", () => {
  it.live(
    "is some object or an error",
    () =>
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "config.toml")
        const whole = Buffer.from(
          `[rate_limit]\nburst = 1_000\nenabled = true\nat = 1979-05-27T07:32:00Z\nx = """a\\u00e9"""\n`
        )
        const read = Effect.provide(
          Effect.flatMap(ConfigFile, ({ read }) => read),
          Layer.suspend(() => TomlFile.layer(path))
        )
        yield* outcomes(
          [...beginnings(whole), ...mutants(whole, 800)],
          path,
          Effect.suspend(() => read),
          (value) => assert.isObject(value)
        )
      }).pipe(Effect.scoped),
    TIMEOUT
  )
})

describe("a database with damage", () => {
  it.live(
    "is read, or lost with a reason",
    () =>
      Effect.gen(function* () {
        const directory = yield* tempDirectory
        const path = join(directory, "routing.db")
        createDatabase(
          path,
          Array.from({ length: 60 }, (_, index) => ({ id: `b${index}`, region: "sa", wg_ip: "10.0.0.1", port: 80 }))
        )
        const whole = readFileSync(path)
        const first = BackendSource.use(({ events }) => Stream.runHead(events)).pipe(
          Effect.provide(
            SqliteSource.layer({ path, reloadMs: 50 }).pipe(Layer.provide([TableSnapshotStore.layerOff, quiet]))
          )
        )
        const seen = new Set<string>()
        const files = [...beginnings(whole, 400), ...mutants(whole, 500)]
        yield* outcomes(files, path, first, (event) => {
          assert.strictEqual(event._tag, "Some")
          if (event._tag === "Some") seen.add(event.value._tag)
          for (const suffix of ["-journal", "-wal", "-shm"]) rmSync(path + suffix, { force: true })
        })
        assert.deepStrictEqual([...seen].sort(), ["Lost", "Rows"])
      }).pipe(Effect.scoped),
    TIMEOUT
  )
})
