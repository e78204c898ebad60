import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import { apiOf } from "../support/edgeApi.ts"
import { connect } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell } from "./scene.ts"
import { load, upTo } from "./visit.ts"

const REQUESTS = 320
const LANES = 24

type Call = readonly [method: string, path: string, body?: string]

const calls: ReadonlyArray<(index: number) => Call> = [
  () => ["GET", "/health"],
  () => ["GET", "/api/v1/backends"],
  (index) => ["GET", `/api/v1/explain?ip=127.1.0.${index % 250}`],
  (index) => [
    "POST",
    "/api/v1/register",
    // Of an app that nobody listens for: these take no clients away.
    JSON.stringify({ id: `flood-${index}`, app: "flood", region: "ap", ip: "127.0.0.1", port: 1 + (index % 60_000) })
  ],
  (index) => ["POST", `/api/v1/heartbeat/flood-${index - 1}`],
  () => ["POST", "/api/v1/register", "{".repeat(20_000)],
  (index) => ["DELETE", `/api/v1/backends/flood-${index - 3}`],
  () => ["PATCH", "/nowhere"]
]

/** Its status, over a connection of its own. */
const status = (url: string, [method, path, body]: Call): Effect.Effect<number | string> =>
  Effect.callback((resume) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" }
    const request = http.request(`${url}${path}`, { method, headers, agent: false }, (response) => {
      response.resume()
      response.once("close", () => resume(Effect.succeed(response.statusCode ?? 0)))
    })
    request.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
    request.end(body)
  })

for (const engine of engines) {
  describe(`the API, engine ${engine}`, () => {
    it.live(
      "flooded with good, wrong, silent and endless requests: clients notice nothing",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const play = yield* scene(
            engine,
            all.map(({ row }) => row({ app: "test" })),
            { APP: "test" }
          )
          const { url } = yield* apiOf(play.edge)
          const address = { address: "127.0.0.1", port: Number(new URL(url).port) }
          const clients = yield* load(play.edge.address)
          for (const _ of upTo(rounds)) {
            const silent = yield* Effect.forEach(upTo(100), () => connect(address))
            for (const [index, peer] of silent.entries()) {
              if (index % 2 === 0)
                yield* peer.send(index % 4 === 0 ? "GET /health HTTP/1.1\r\nx-" : "\u0000\u0001\r\n\r\n")
            }
            const statuses = yield* Effect.forEach(
              upTo(REQUESTS),
              (index) => {
                const call = calls[index % calls.length]
                return status(url, call === undefined ? ["GET", "/health"] : call(index))
              },
              { concurrency: LANES }
            )
            const odd = statuses.filter((one) => typeof one === "string" || one >= 500)
            assert.deepStrictEqual(odd, [])
            assert.include(statuses, 201)
            for (const { reset } of silent) yield* reset
          }
          const visits = yield* clients.stop
          assert.deepStrictEqual(mishaps(visits), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* tell(`${engine}: the longest visit beside the flood`, Math.max(...visits.map(({ ms }) => ms)))
          assert.strictEqual(yield* status(url, ["GET", "/ready"]), 200)
          yield* atRest(play)
        }),
      patience
    )
  })
}
