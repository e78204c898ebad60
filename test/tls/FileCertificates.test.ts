import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as FileCertificates from "../../layers/tls/FileCertificates.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { Collectors } from "../../src/observe/Collectors.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import type { KeyPair } from "../../src/tls/ServerTls.ts"
import { authority, certificate } from "../support/certificates.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { eventually } from "../support/Watch.ts"

const DAY = 86_400_000

const write = (path: string, text: string) => Effect.promise(() => writeFile(path, text))

const writePair = (directory: string, name: string, { chain, key }: KeyPair) =>
  Effect.andThen(write(join(directory, `${name}.crt`), chain), write(join(directory, `${name}.key`), key))

/** What it logs, as text, in the order it comes. */
const logging = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${JSON.stringify(message)}`))])

const serving = Effect.fnUntraced(function* (
  files: Partial<FileCertificates.FileCertificatesOptions>,
  lines: Array<string> = []
) {
  const layer = FileCertificates.layer({
    pair: undefined,
    dir: undefined,
    clientCa: undefined,
    reloadMs: 20,
    minVersion: "1.2",
    protocols: [],
    maxHandshakes: 256,
    ...files
  }).pipe(Layer.provideMerge([Supervisor.layer, Collectors.layer, Conditions.layer]), Layer.provide(logging(lines)))
  const built = yield* Layer.build(layer)
  return yield* Effect.all({ certificates: Certificates, conditions: Conditions }).pipe(Effect.provideContext(built))
})

const ca = authority()

/** The certificate with an end that is no time. */
const timeless = (chain: string): string => {
  const der = Buffer.from(chain.replaceAll(/-----[^-]+-----|\s/g, ""), "base64")
  der.write("x", der.lastIndexOf(Buffer.from([0x17, 0x0d])) + 4)
  return [
    "-----BEGIN CERTIFICATE-----",
    der.toString("base64").replaceAll(/.{64}/g, "$&\n"),
    "-----END CERTIFICATE-----",
    ""
  ].join("\n")
}

describe("certificates from files", () => {
  it.live("none: a self-signed one, with a warning", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const { certificates } = yield* serving({}, lines)
      const [only] = certificates.current()?.certificates ?? []
      assert.deepStrictEqual([only?.source, only?.names], ["self-signed", ["localhost"]])
      assert.match(lines.join("\n"), /Warn.*self-signed/)
    })
  )

  it.live("a directory: each by its name, the pair that was named is the default", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const other = yield* scratch
      yield* writePair(directory, "shop", certificate(ca, ["shop.example", "*.shop.example"]))
      yield* writePair(directory, "db", certificate(ca, ["db.example"]))
      yield* writePair(other, "main", certificate(ca, ["main.example"]))
      const pair = { cert: join(other, "main.crt"), key: join(other, "main.key") }
      const { certificates } = yield* serving({ dir: directory, pair })
      const set = certificates.current()
      const sourceOf = (name: string) => set?.certificates[set.pairOf(name) ?? 0]?.source
      assert.strictEqual(sourceOf("db.example"), join(directory, "db.crt"))
      assert.strictEqual(sourceOf("a.shop.example"), join(directory, "shop.crt"))
      assert.strictEqual(sourceOf("unknown.example"), pair.cert)
      assert.isUndefined(set?.pairOf("unknown.example"))
    })
  )

  it.live("a new pair is taken, the files of another are gone", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      yield* writePair(directory, "a", certificate(ca, ["a.example"]))
      yield* writePair(directory, "b", certificate(ca, ["b.example"]))
      const { certificates } = yield* serving({ dir: directory })
      const before = certificates.current()
      const next = certificate(ca, ["a.example", "c.example"])
      yield* writePair(directory, "a", next)
      yield* Effect.promise(() => Promise.all(["b.crt", "b.key"].map((name) => rm(join(directory, name)))))
      yield* eventually("the new one alone", () => {
        const set = certificates.current()
        return set?.certificates.length === 1 && set.certificates[0]?.chain === next.chain
      })
      assert.notStrictEqual(certificates.current()?.tls, before?.tls)
      assert.deepEqual(certificates.current()?.tls.ticketKey, before?.tls.ticketKey)
    })
  )

  const noneLeft = "it has no certificate any more"

  it.live("a directory that is emptied, or gone: told of once, and the last ones stay", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      yield* writePair(directory, "a", certificate(ca, ["a.example"]))
      const lines: Array<string> = []
      const { certificates, conditions } = yield* serving({ dir: directory }, lines)
      const before = certificates.current()
      const told = (word: string) => lines.filter((line) => line.includes(word))
      for (const [spoil, word] of [
        [() => Promise.all(["a.crt", "a.key"].map((name) => rm(join(directory, name)))), noneLeft],
        [() => rm(directory, { recursive: true }), "ENOENT"]
      ] as const) {
        yield* Effect.promise<unknown>(spoil)
        yield* eventually("word of it", () => told(word).length > 0)
        assert.include(conditions.present(), "certificate-rejected")
        yield* Effect.sleep(100)
        assert.lengthOf(told(word), 1)
        assert.strictEqual(certificates.current(), before)
      }
      assert.deepStrictEqual(told("certificates in force"), [])
    })
  )

  const mismatched = certificate(ca, ["a.example"])
  const spoils: ReadonlyArray<readonly [string, (good: KeyPair) => KeyPair, RegExp]> = [
    ["half-written", (good) => ({ ...good, chain: good.chain.slice(0, 200) }), /no certificate in it/],
    ["empty", () => ({ chain: "", key: "" }), /no certificate in it/],
    ["garbage", (good) => ({ ...good, chain: good.chain.replaceAll("A", "!") }), /./],
    ["with the key of another", (good) => ({ ...good, key: mismatched.key }), /belongs to another/],
    ["with half a key", (good) => ({ ...good, key: good.key.slice(0, 60) }), /can't be read/],
    [
      "expired",
      () => certificate(ca, ["a.example"], { notBefore: Date.now() - 2 * DAY, notAfter: Date.now() - DAY }),
      /expired/
    ],
    ["of a time that nobody can read", (good) => ({ ...good, chain: timeless(good.chain) }), /validity can't be read/],
    [
      "not valid yet",
      () => certificate(ca, ["a.example"], { notBefore: Date.now() + DAY, notAfter: Date.now() + 2 * DAY }),
      /not valid before/
    ]
  ]

  for (const [name, spoil, reason] of spoils)
    it.live(`a new pair that is ${name} is left aside, told of once; the last good one stays`, () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const good = certificate(ca, ["a.example"])
        yield* writePair(directory, "a", good)
        const lines: Array<string> = []
        const { certificates, conditions } = yield* serving({ dir: directory }, lines)
        const before = certificates.current()
        yield* writePair(directory, "a", spoil(good))
        yield* eventually("word of it", () => lines.some((line) => reason.test(line) && line.includes("left aside")))
        assert.include(conditions.present(), "certificate-rejected")
        yield* Effect.sleep(100)
        assert.lengthOf(
          lines.filter((line) => reason.test(line) && line.includes("left aside")),
          1
        )
        assert.strictEqual(certificates.current(), before)
        for (const secret of [good.key, mismatched.key]) {
          assert.notInclude(lines.join("\n"), secret.split("\n")[1] ?? "none")
        }
        yield* writePair(directory, "a", good)
        yield* eventually("an end of that", () => !conditions.present().includes("certificate-rejected"))
      })
    )

  for (const [name, spoil, reason] of spoils)
    it.live(`the process does not begin with a pair that is ${name}`, () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const good = certificate(ca, ["a.example"])
        yield* writePair(directory, "a", spoil(good))
        const pair = { cert: join(directory, "a.crt"), key: join(directory, "a.key") }
        const error = yield* Effect.flip(serving({ pair }))
        assert.match(error.message, reason)
        assert.include(error.message, pair.cert)
      })
    )

  it.live("a missing file, an authority that is none, a directory without a pair: told by name", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const pair = { cert: join(directory, "a.crt"), key: join(directory, "a.key") }
      assert.match((yield* Effect.flip(serving({ pair }))).message, /a\.crt: there is no such file/)
      assert.match((yield* Effect.flip(serving({ dir: directory }))).message, /no name\.crt in it/)
      assert.match((yield* Effect.flip(serving({ clientCa: pair.cert }))).message, /a\.crt/)
      yield* writePair(directory, "a", certificate(ca, ["a.example"]))
      assert.match((yield* Effect.flip(serving({ clientCa: pair.key }))).message, /a\.key: there is no certificate/)
    })
  )

  it.live("one that ends in three days is told of once, and is a reason to be degraded", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      yield* writePair(directory, "a", certificate(ca, ["a.example"], { notAfter: Date.now() + 3 * DAY }))
      const lines: Array<string> = []
      const { conditions } = yield* serving({ dir: directory }, lines)
      yield* Effect.sleep(100)
      assert.lengthOf(
        lines.filter((line) => line.includes("expires soon")),
        1
      )
      assert.include(conditions.present(), "certificate-expiring")
    })
  )
})
