import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { served } from "../e2e/setup.ts"
import { seededBytes } from "../support/bytes.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { writeMmdb } from "../support/mmdb.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { brazilian, load, upTo, visit } from "./visit.ts"

const [engine = "node"] = engines

describe("files that are read while the proxy runs", () => {
  it.live(
    "settings written all the time, right, wrong and by halves, and a hundred SIGHUPs cost no client anything",
    () =>
      Effect.gen(function* () {
        const path = join(yield* scratch, "config.toml")
        const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
        const play = yield* scene(
          engine,
          all.map(({ row }) => row()),
          { CONFIG_WATCH_ENABLED: "true", CONFIG_WATCH_INTERVAL_SECS: "0.1", CONFIG_PATH: path }
        )
        const { edge } = play
        const clients = yield* load(edge.address)
        const japanese = (index: number): string => `127.4.0.${1 + (index % 250)}`
        for (const round of upTo(rounds)) {
          for (const index of upTo(100)) {
            const text = `[rate_limit]
              enabled = ${index % 2 === 0}
              burst = ${100_000 + index}
              [health]
              check = { enabled = ${index % 3 === 0}, interval_secs = ${1 + (index % 4)} }
              [circuit]
              breaker_enabled = ${index % 5 === 0}
              timeout_secs = ${1 + index}`
            // Not beside and renamed: who looks in between sees half of it.
            if (index % 10 === 3) rmSync(path, { force: true })
            else if (index % 4 === 1) writeFileSync(path, text.slice(0, (index * 7) % text.length))
            else writeFileSync(path, index % 7 === 5 ? seededBytes(index, 5_000) : text)
            edge.signal("SIGHUP")
            yield* clients.more(1)
          }
          const from = edge.logs.length
          writeFileSync(`${path}.new`, `deny_countries = ["JP"]`)
          renameSync(`${path}.new`, path)
          const changed = edge.log(
            ({ message, name }) => message === "setting changed" && name === "EDGEPROXY_DENY_COUNTRIES",
            from
          )
          yield* timed("a right file after all that is in force", changed)
          assert.isUndefined(yield* Effect.scoped(served(edge.address, { from: japanese(round) })))
          const next = edge.logs.length
          writeFileSync(`${path}.new`, "")
          renameSync(`${path}.new`, path)
          yield* edge.log(({ message }) => message === "setting changed", next)
          assert.strictEqual((yield* visit(edge.address, japanese(round), 1)).outcome, "whole")
        }
        assert.deepStrictEqual(mishaps(yield* clients.stop), {})
        assert.deepStrictEqual(
          proxyEnds(edge).filter((end) => !end.includes("denied")),
          []
        )
        yield* atRest(play, /configuration file is left aside/)
      }),
    patience
  )

  it.live(
    "a geo database that goes, is cut and is overwritten leaves every client where he was",
    () =>
      Effect.gen(function* () {
        const path = join(yield* scratch, "geo.mmdb")
        const database = (first: string, second: string) =>
          writeMmdb({
            databaseType: "Test-Country",
            ipVersion: 6,
            records: [
              { cidr: "127.1.0.0/16", value: { country: { iso_code: first } } },
              { cidr: "127.3.0.0/16", value: { country: { iso_code: second } } }
            ]
          })
        writeFileSync(path, database("BR", "DE"))
        const brazil = yield* chaosBackend("brazil")
        const play = yield* scene(engine, [brazil.row()], {
          GEOIP_PATH: path,
          GEO_OVERRIDES: "",
          BINDING_TTL_SECS: "0"
        })
        const { edge } = play
        const clients = yield* load(edge.address)
        const whereTo = Effect.gen(function* () {
          const [there, here] = [
            yield* visit(edge.address, brazilian(1), 1),
            yield* visit(edge.address, "127.3.0.50", 2)
          ]
          return [there.name, here.name]
        })
        for (const _ of upTo(rounds)) {
          rmSync(path)
          yield* clients.more(20)
          assert.deepStrictEqual(yield* whereTo, ["brazil", "steady"])
          const from = edge.logs.length
          const whole = database("BR", "DE")
          writeFileSync(path, whole.subarray(0, whole.length - 40))
          yield* edge.log("geo database refused", from)
          yield* clients.more(20)
          assert.deepStrictEqual(yield* whereTo, ["brazil", "steady"])
          for (const [first, second, ...names] of [
            ["DE", "BR", "steady", "brazil"],
            ["BR", "DE", "brazil", "steady"]
          ] as const) {
            const next = edge.logs.length
            writeFileSync(`${path}.new`, database(first, second))
            renameSync(`${path}.new`, path)
            yield* timed("a geo database that is whole is in use", edge.log("geo database replaced", next))
            assert.deepStrictEqual(yield* whereTo, names)
          }
        }
        assert.deepStrictEqual(mishaps(yield* clients.stop), {})
        assert.deepStrictEqual(proxyEnds(edge), [])
        yield* atRest(play, /geo database refused/)
      }),
    patience + 20_000 * rounds
  )
})
