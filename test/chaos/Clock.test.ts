import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { globSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { apiOf } from "../support/edgeApi.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { runSql } from "../support/routingDb.ts"
import { connect } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell, timed } from "./scene.ts"
import { load, upTo, visit } from "./visit.ts"

/** Debian's libfaketime: tells a process another time of day, and leaves its monotonic clock alone. */
const faketime = globSync("/usr/lib/*/faketime/libfaketime.so.1")[0]

const TTL_MS = 2_000
const HOUR_S = 3_600
const brazilian = "127.1.77.7"

const env = {
  HEARTBEAT_TTL_SECS: String(TTL_MS / 1_000),
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_TYPE: "http",
  HEALTH_CHECK_INTERVAL_SECS: "0.3",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "1",
  CIRCUIT_BREAKER_ENABLED: "true",
  CIRCUIT_TIMEOUT_SECS: "0.5"
}

for (const engine of engines) {
  describe.skipIf(faketime === undefined)(`the wall clock, engine ${engine}`, () => {
    it.live(
      "set back and forth by hours ends nobody's connection, binding or registration, and holds no check or table up",
      () =>
        Effect.gen(function* () {
          const path = join(yield* scratch, "offset")
          const setClock = (seconds: number): void => {
            writeFileSync(`${path}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`)
            renameSync(`${path}.new`, path)
          }
          setClock(0)
          const through = [
            "env",
            `LD_PRELOAD=${faketime}`,
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_NO_CACHE=1",
            `FAKETIME_TIMESTAMP_FILE=${path}`
          ]
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const registered = yield* chaosBackend("registered")
          const play = yield* scene(
            engine,
            all.map(({ row }) => row()),
            env,
            { through }
          )
          const { edge } = play
          const api = yield* apiOf(edge)
          const register = (id: string) =>
            api.call("POST", "/api/v1/register", {
              id,
              app: "test",
              region: "sa",
              country: "BR",
              ip: "127.0.0.1",
              port: registered.port,
              hard_limit: 0
            })
          yield* register("registered")
          const refused: Array<number> = []
          yield* Effect.forkScoped(
            Effect.forever(
              Effect.gen(function* () {
                const { status } = yield* api.call("POST", "/api/v1/heartbeat/registered")
                if (status !== 200) refused.push(status)
                yield* Effect.sleep(TTL_MS / 5)
              })
            )
          )
          const idle = yield* connect(edge.address, { from: "127.3.0.77" })
          yield* idle.send("hello")
          yield* idle.awaitText("hello")
          const bound = yield* visit(edge.address, brazilian, 1)
          const clients = yield* load(edge.address)
          let silent = 0
          for (const offset of upTo(rounds).flatMap(() => [-HOUR_S, HOUR_S, 0])) {
            const id = `silent-${silent++}`
            assert.strictEqual((yield* register(id)).status, 201)
            yield* clients.servedBy("registered")
            const from = edge.logs.length
            const before = edge.entries.length
            const startedAt = performance.now()
            setClock(offset)
            assert.strictEqual((yield* visit(edge.address, brazilian, 2)).name, bound.name)
            const { ts } = yield* edge.entry(
              (entry) => edge.entries.indexOf(entry) >= before && entry.client === brazilian && entry.affinity === "hit"
            )
            assert.approximately(Date.parse(ts), Date.now() + offset * 1_000, 60_000, "the clock was set")

            const [, b] = all
            if (b === undefined) return
            yield* b.kill
            const isOf = (message: string) => (line: { readonly message: string; readonly id?: unknown }) =>
              line.message.startsWith(message) && line.id === "b"
            yield* edge.log(isOf("backend down"), from)
            yield* b.start
            yield* edge.log(isOf("backend up again"), from)

            const tableFrom = edge.logs.length
            runSql(edge.database, `UPDATE backends SET weight = ${2 + silent} WHERE id = 'a'`)
            yield* edge.log("routing table", tableFrom)

            yield* api.until(`/api/v1/backends/${id}`, ({ body }) => body["state"] === "expired")
            const expired = performance.now() - startedAt
            assert.isAbove(expired, TTL_MS / 2)
            yield* tell(`${engine}: a silent backend expires, ${offset} s from now`, expired)
            const { body } = yield* api.call("GET", "/api/v1/backends/registered")
            assert.strictEqual(body["state"], "active")
            assert.isAtLeast(Number(body["last_heartbeat_secs"]), 0)
            assert.strictEqual((yield* api.call("GET", "/ready")).status, 200)
            yield* timed(`${engine}: and what has registered serves`, clients.servedBy("registered"))
          }
          assert.deepStrictEqual(refused, [])
          yield* idle.send("still here")
          yield* idle.awaitText("still here")
          yield* idle.finish
          assert.strictEqual(yield* idle.awaitClosed, "fin")
          const visits = yield* clients.stop
          const { cut = 0, ...others } = mishaps(visits)
          assert.deepStrictEqual(others, {})
          assert.isAtMost(cut, 6 * 3 * rounds)
          assert.deepStrictEqual(proxyEnds(edge), [])
          const odd = edge.entries.filter(({ duration_ms }) => !(duration_ms >= 0 && duration_ms < patience))
          assert.deepStrictEqual(odd, [])
          yield* atRest(play)
        }),
      patience
    )
  })
}
