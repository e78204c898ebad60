import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as IpNetwork from "effect/net/IpNetwork"
import { Reader } from "maxmind"
import { existsSync } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import type { Client } from "../../src/domain/Client.ts"
import * as NetworkSet from "../../src/domain/NetworkSet.ts"
import { type Country, countryFromText, regionOfCountry } from "../../src/domain/Region.ts"
import { type ClientGeo, unknownGeo } from "../../src/domain/Score.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { GeoResolver, OLD_GEO_DAYS } from "../../src/routing/GeoResolver.ts"

export class GeoError extends Data.TaggedError("GeoError")<{ readonly path: string; readonly detail: string }> {
  override get message(): string {
    return `geo database ${this.path}: ${this.detail}`
  }
}

export interface GeoOptions {
  /** Undefined takes the database that is shipped with the program, which is not watched. */
  readonly path: string | undefined
  /** Read at each answer. */
  readonly overrides: ReadonlyArray<Override>
}

type Override = readonly [network: IpNetwork.IpNetwork, country: Country]

const setOf = (overrides: ReadonlyArray<Override>): NetworkSet.NetworkSet =>
  NetworkSet.make(overrides.map(([network]) => network))

/** The longest prefix first. */
const inOrder = (overrides: ReadonlyArray<Override>): ReadonlyArray<Override> =>
  Array.from(overrides).sort(([a], [b]) => b.prefixLength - a.prefixLength)

const WATCH_MS = 5_000

/**
 * Countries from a MaxMind database: GeoLite2 or GeoIP2 Country and City (`country.iso_code`), or flat ones
 * (`country_code`). A replaced file is swapped in live; one that can't be read is refused and the old one stays. Overrides
 * win, the longest prefix first.
 */
export const layer = (options: GeoOptions): Layer.Layer<GeoResolver, GeoError, Conditions | Supervisor> =>
  Layer.effect(
    GeoResolver,
    Effect.gen(function* () {
      const path = options.path ?? (yield* embeddedDatabase)
      let given = options.overrides
      let overrides = inOrder(given)
      let overridden = setOf(given)
      let reader = yield* openDatabase(path)
      let seen = yield* versionOf(path)
      yield* Effect.logInfo("geo database", describe(reader, path))
      yield* warnIfOld(reader)
      const clock = yield* Clock.Clock
      const conditions = yield* Conditions
      yield* conditions.watch("geo-old", () => ageDays(reader, clock.currentTimeMillisUnsafe()) > OLD_GEO_DAYS)

      const swap = Effect.gen(function* () {
        const version = yield* versionOf(path)
        if (version === seen || version === undefined) return
        seen = version
        reader = yield* openDatabase(path)
        yield* Effect.logInfo("geo database replaced", describe(reader, path))
      }).pipe(Effect.catch((error) => Effect.logError("new geo database refused; the old one stays", error.message)))
      if (options.path !== undefined) {
        const supervisor = yield* Supervisor
        yield* supervisor.supervise("geo-watch", swap.pipe(Effect.schedule(Schedule.spaced(WATCH_MS))))
      }

      return {
        resolve: (client: Client) => {
          if (given !== options.overrides) {
            given = options.overrides
            overrides = inOrder(given)
            overridden = setOf(given)
          }
          // Most clients are in none of them, and the set tells that for ten thousand in a tenth of a microsecond.
          if (overridden.has(client)) {
            for (const [network, country] of overrides) {
              if (network.address._tag === client.ip._tag && IpNetwork.contains(network, client.ip))
                return placeOf(country)
            }
          }
          return lookUp(reader, client)
        },
        builtAt: () => reader.metadata.buildEpoch.getTime()
      }
    }).pipe(Effect.annotateLogs({ service: "geo" }))
  )

// One object per country, for ever: connections share them.
const places = new Map<Country, ClientGeo>()

const placeOf = (country: Country): ClientGeo => {
  const known = places.get(country)
  if (known !== undefined) return known
  const place: ClientGeo = { country, region: regionOfCountry(country) }
  places.set(country, place)
  return place
}

type Database = Reader<never>

const textAt = (record: unknown, key: string): unknown =>
  typeof record === "object" && record !== null ? (record as Record<string, unknown>)[key] : undefined

/** Total: a damaged page of the database makes a client unknown, no more. */
const lookUp = (reader: Database, client: Client): ClientGeo => {
  // The reader would walk a tree of IPv4 networks with the head of the longer address, and find some country.
  if (reader.metadata.ipVersion === 4 && client.key.family === 6) return unknownGeo
  try {
    const record: unknown = reader.get(client.address)
    const code = textAt(textAt(record, "country"), "iso_code") ?? textAt(record, "country_code")
    const country = typeof code === "string" ? countryFromText(code) : undefined
    return country === undefined ? unknownGeo : placeOf(country)
  } catch {
    return unknownGeo
  }
}

const openDatabase = (path: string): Effect.Effect<Database, GeoError> =>
  Effect.tryPromise({
    try: async () => {
      const reader: Database = new Reader(await readFile(path))
      if (Number.isNaN(reader.metadata.buildEpoch.getTime())) throw new Error("damaged: it has no build time")
      // A file cut short passes the check of its head; a few walks through the tree find it out.
      for (const address of ["1.1.1.1", "8.8.8.8", "200.160.0.8", "2001:4860:4860::8888"]) {
        if (reader.metadata.ipVersion === 6 || !address.includes(":")) reader.get(address)
      }
      return reader
    },
    catch: (error) => new GeoError({ path, detail: error instanceof Error ? error.message : String(error) })
  })

const describe = ({ metadata }: Database, path: string) => ({
  path,
  type: metadata.databaseType,
  built: metadata.buildEpoch.toISOString()
})

const ageDays = ({ metadata }: Database, now: number): number =>
  Math.floor((now - metadata.buildEpoch.getTime()) / 86_400_000)

const warnIfOld = Effect.fnUntraced(function* (reader: Database) {
  const days = ageDays(reader, yield* Clock.currentTimeMillis)
  if (days > OLD_GEO_DAYS) {
    yield* Effect.logWarning("the geo database is old: update it, or set EDGEPROXY_GEOIP_PATH to a current one", {
      days
    })
  }
})

/** Changes when the file is replaced or rewritten; undefined while it is gone, which is no reason to forget it. */
const versionOf = (path: string): Effect.Effect<string | undefined> =>
  Effect.promise(() =>
    stat(path).then(
      ({ ino, mtimeMs, size }) => `${ino}:${size}:${mtimeMs}`,
      () => undefined
    )
  )

const FILE = "geolite2-country.mmdb"

/** Beside the bundle, or in the package it comes from when the program runs from its sources. */
const embeddedDatabase: Effect.Effect<string, GeoError> = Effect.try({
  try: () => {
    const here = import.meta.dirname
    const beside = [join(here, FILE), join(here, "..", FILE)].find((path) => existsSync(path))
    return (
      beside ??
      join(dirname(createRequire(import.meta.url).resolve(`@ip-location-db/geolite2-country-mmdb/package.json`)), FILE)
    )
  },
  catch: () => new GeoError({ path: FILE, detail: "the embedded database is missing from this installation" })
})
