import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { apiOf } from "../support/edgeApi.ts"
import { scratch, spawnEdge, startEdge } from "../support/EdgeProcess.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { defaults, greeted, refusalOf, startWith } from "./setup.ts"

const named = (id: string) => Effect.map(serve({ onPeer: greet(id) }), (server) => server.endpoint.port)

const registration = (id: string, port: number) => ({ id, app: "shop", region: "sa", ip: "127.0.0.1", port })

describe("discovery", () => {
  it.live("a backend registers, takes traffic at once, survives a restart, and leaves", () =>
    Effect.gen(function* () {
      const port = yield* named("mine")
      // Looked at so rarely that only the registration itself can have put it there.
      const edge = yield* startWith([], { DB_RELOAD_SECS: "3600" })
      const api = yield* apiOf(edge)
      const created = yield* api.call("POST", "/api/v1/register", registration("mine", port))
      assert.deepStrictEqual(created, { status: 201, body: { id: "mine", registered: true, message: "registered" } })
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "mine")
      assert.strictEqual((yield* api.call("POST", "/api/v1/heartbeat/mine")).status, 200)
      edge.signal("SIGKILL")
      yield* edge.exit

      const again = yield* startEdge({ cwd: edge.directory, env: defaults(edge.database) })
      assert.strictEqual((yield* Effect.scoped(greeted(again.address))).name, "mine")
      const back = yield* apiOf(again)
      assert.deepInclude((yield* back.call("GET", "/health")).body, { registered_backends: 1 })
      assert.strictEqual((yield* back.call("POST", "/api/v1/heartbeat/mine")).status, 200)
      assert.deepStrictEqual((yield* back.call("DELETE", "/api/v1/backends/mine")).body, {
        deregistered: true,
        id: "mine"
      })
      assert.strictEqual(yield* refusalOf(again.address), "ECONNRESET")
      const db = new DatabaseSync(edge.database)
      assert.strictEqual(db.prepare("SELECT count(*) AS n FROM backends").get()?.["n"], 0)
      db.close()
    })
  )

  it.live(
    "falls silent: out of the rotation, then out of the table, and a heartbeat in time brings it back",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith([], { HEARTBEAT_TTL_SECS: "1" })
        const api = yield* apiOf(edge)
        yield* api.call("POST", "/api/v1/register", registration("quiet", yield* named("quiet")))
        yield* api.until("/api/v1/backends/quiet", ({ body }) => body["state"] === "expired")
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
        assert.strictEqual((yield* api.call("POST", "/api/v1/heartbeat/quiet")).status, 200)
        assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "quiet")
        yield* api.until("/api/v1/backends/quiet", ({ status }) => status === 404)
      }),
    30_000
  )

  it.live("rows that are written by hand live beside it, and are not the API's to take away", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([rowOf("hand", yield* serve({ onPeer: greet("hand") }))])
      const api = yield* apiOf(edge)
      const port = yield* named("mine")
      for (const answer of [
        yield* api.call("POST", "/api/v1/register", registration("hand", port)),
        yield* api.call("DELETE", "/api/v1/backends/hand")
      ]) {
        assert.strictEqual(answer.status, 409)
      }
      assert.strictEqual((yield* api.call("POST", "/api/v1/register", registration("mine", port))).status, 201)
      // Both ways into the table at once.
      assert.strictEqual((yield* api.call("POST", "/api/v1/backends/hand/drain")).status, 200)
      for (let host = 1; host < 20; host++) {
        assert.strictEqual((yield* Effect.scoped(greeted(edge.address, { from: `127.0.5.${host}` }))).name, "mine")
      }
      const db = new DatabaseSync(edge.database)
      // A look that shows what comes later shows the registration too; before it, its absence says nothing.
      db.exec("INSERT INTO backends (id, region, wg_ip, port, weight) VALUES ('later', 'sa', '127.0.0.1', 9, 0)")
      yield* api.until("/api/v1/backends/later", ({ status }) => status === 200)
      db.exec("DELETE FROM backends WHERE id = 'mine'")
      db.close()
      yield* api.until("/api/v1/backends/mine", ({ status }) => status === 404)
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      assert.strictEqual((yield* api.call("POST", "/api/v1/backends/hand/undrain")).status, 200)
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "hand")
    })
  )

  it.live(
    "what could not be made durable is refused, and goes on when it can be again",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith([])
        const api = yield* apiOf(edge)
        const port = yield* named("mine")
        const db = new DatabaseSync(edge.database)
        db.exec("BEGIN EXCLUSIVE")
        assert.strictEqual((yield* api.call("POST", "/api/v1/register", registration("mine", port))).status, 503)
        assert.strictEqual((yield* api.call("GET", "/api/v1/backends/mine")).status, 404)
        db.exec("ROLLBACK")
        db.close()
        assert.strictEqual((yield* api.call("POST", "/api/v1/register", registration("mine", port))).status, 201)
      }),
    30_000
  )

  it.live("answers during the drain that it is not ready, and ends after it", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([rowOf("one", yield* serve({ onPeer: greet("one") }))])
      const api = yield* apiOf(edge)
      yield* api.until("/ready", ({ status }) => status === 200)
      const { peer } = yield* greeted(edge.address)
      edge.signal("SIGTERM")
      const { body } = yield* api.until("/ready", ({ status }) => status === 503)
      assert.deepInclude(body["reasons"], "draining")
      assert.strictEqual((yield* api.call("GET", "/health")).status, 200)
      yield* peer.finish
      assert.deepInclude(yield* edge.exit, { code: 0 })
    })
  )

  it.live("a port of the API that is taken ends the start with the address and the reason", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* serve()
      const cwd = yield* scratch
      const env = {
        ...defaults(join(cwd, "routing.db")),
        LISTEN_ADDR: "127.0.0.1:0",
        API_LISTEN_ADDR: `127.0.0.1:${endpoint.port}`
      }
      const edge = yield* spawnEdge({ cwd, env })
      assert.deepInclude(yield* edge.exit, { code: 1 })
      assert.isDefined(
        edge.logs.find(({ level, message }) => level === "fatal" && message.includes(String(endpoint.port)))
      )
    })
  )

  it.live("is not there when it is off", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([rowOf("one", yield* serve({ onPeer: greet("one") }))], { API_ENABLED: "false" })
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "one")
      yield* edge.stop
      assert.isFalse(edge.logs.some(({ message }) => message === "API endpoint"))
    })
  )
})
