import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as IpNetwork from "effect/net/IpNetwork"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as MaxMindGeo from "../../layers/maxmind/MaxMindGeo.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { clientFromText } from "../../src/domain/Client.ts"
import { type Country, countryFromText } from "../../src/domain/Region.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { writeMmdb } from "../support/mmdb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

type Overrides = MaxMindGeo.GeoOptions["overrides"]

const override = (cidr: string, country: string): Overrides[number] => [
  IpNetwork.fromStringUnsafe(cidr),
  countryFromText(country) as Country
]

const resolving = (options: Partial<MaxMindGeo.GeoOptions>, addresses: ReadonlyArray<string>) =>
  GeoResolver.use(({ resolve }) =>
    Effect.sync(() =>
      addresses.map((address) => {
        const client = clientFromText(address)
        assert.isDefined(client)
        const { country, region } = resolve(client)
        return `${country ?? "-"} ${region ?? "-"}`
      })
    )
  ).pipe(
    Effect.provide(
      MaxMindGeo.layer({ path: undefined, overrides: [], ...options }).pipe(
        Layer.provide([Supervisor.layer, Conditions.layer])
      )
    )
  )

describe("MaxMindGeo", () => {
  it.live("the embedded database knows countries over IPv4 and IPv6, and nothing of private addresses", () =>
    Effect.gen(function* () {
      const found = yield* resolving({}, [
        "200.160.0.8",
        "8.8.8.8",
        "2001:4860:4860::8888",
        "10.1.2.3",
        "127.0.0.1",
        "::1"
      ])
      assert.deepStrictEqual(found, ["BR sa", "US us", "US us", "- -", "- -", "- -"])
    })
  )

  for (const [shape, value] of [
    ["country.iso_code", (code: string) => ({ country: { iso_code: code } })],
    ["flat country_code", (code: string) => ({ country_code: code })]
  ] as const) {
    it.live(`reads records of the shape ${shape}`, () =>
      Effect.gen(function* () {
        const path = join(yield* tempDirectory, "geo.mmdb")
        const records = [
          { cidr: "203.0.113.0/24", value: value("BR") },
          { cidr: "2001:db8::/32", value: value("DE") },
          { cidr: "198.51.100.0/24", value: value("ZZ") }
        ]
        writeFileSync(path, writeMmdb({ databaseType: "Test-Country", records, ipVersion: 6 }))
        const found = yield* resolving({ path }, [
          "203.0.113.7",
          "::ffff:203.0.113.7",
          "2001:db8::1",
          "198.51.100.1",
          "192.0.2.1"
        ])
        assert.deepStrictEqual(found, ["BR sa", "BR sa", "DE eu", "- -", "- -"])
      }).pipe(Effect.scoped)
    )
  }

  it.live("overrides win, the longest prefix first", () =>
    Effect.gen(function* () {
      const overrides = [override("8.0.0.0/8", "DE"), override("8.8.8.8/32", "JP"), override("::1/128", "FR")]
      const found = yield* resolving({ overrides }, ["8.8.8.8", "8.8.4.4", "::1", "200.160.0.8"])
      assert.deepStrictEqual(found, ["JP ap", "DE eu", "FR eu", "BR sa"])
    })
  )

  it.live("a missing file, a picture, a database cut short are start-up errors that name the file", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const whole = writeMmdb({
        databaseType: "Test-Country",
        records: [{ cidr: "0.0.0.0/0", value: { country_code: "BR" } }],
        ipVersion: 6
      })
      const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), randomBytes(4_096)])
      const files = {
        "jpeg.mmdb": jpeg,
        "empty.mmdb": new Uint8Array(0),
        "half.mmdb": whole.subarray(0, whole.length / 2)
      }
      for (const [name, bytes] of Object.entries(files)) {
        const path = join(directory, name)
        writeFileSync(path, bytes)
        const error = yield* Effect.flip(resolving({ path }, ["8.8.8.8"]))
        assert.include(error.message, path)
      }
      const path = join(directory, "missing.mmdb")
      const error = yield* Effect.flip(resolving({ path }, []))
      assert.include(error.message, path)
    }).pipe(Effect.scoped)
  )

  it.live("an old database limits the POP, and says how old it is", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const conditionsOf = Effect.fnUntraced(function* (days: number) {
        const path = join(directory, `${days}.mmdb`)
        const buildEpoch = Math.floor(Date.now() / 1_000) - days * 86_400
        writeFileSync(
          path,
          writeMmdb({
            databaseType: "Test-Country",
            records: [{ cidr: "0.0.0.0/0", value: { country_code: "BR" } }],
            ipVersion: 6,
            buildEpoch
          })
        )
        return yield* Effect.gen(function* () {
          const { builtAt } = yield* GeoResolver
          assert.strictEqual(builtAt(), buildEpoch * 1_000)
          return (yield* Conditions).present()
        }).pipe(
          Effect.provide(
            MaxMindGeo.layer({ path, overrides: [] }).pipe(
              Layer.provide(Supervisor.layer),
              Layer.provideMerge(Conditions.layer)
            )
          )
        )
      })
      assert.deepStrictEqual(yield* conditionsOf(29), [])
      assert.deepStrictEqual(yield* conditionsOf(32), ["geo-old"])
    }).pipe(Effect.scoped)
  )
})
