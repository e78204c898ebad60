import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { backendProcess } from "../support/backendProcess.ts"
import { apiOf } from "../support/edgeApi.ts"
import type { EdgeProcess } from "../support/EdgeProcess.ts"
import { type Row } from "../support/routingDb.ts"
import { connect, serve } from "../support/tcp.ts"
import { greeted, refusalOf, startWith, why } from "./setup.ts"

const checks = {
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_INTERVAL_SECS: "0.4",
  HEALTH_CHECK_TIMEOUT_SECS: "1",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "2"
}
const from = "127.3.0.1"
const nearest = { country: "DE", region: "eu" }
const far = { region: "us" }

const row = (id: string, { address, port }: Endpoint, more: Partial<Row> = {}): Row => ({
  id,
  region: "sa",
  wg_ip: address,
  port,
  ...more
})

const isOf = (message: string, id: string) => (line: EdgeProcess["logs"][number]) =>
  line.message.startsWith(message) && line["id"] === id

/** Who serves a client of Germany now, and with how many attempts. */
const whoServes = (edge: EdgeProcess) =>
  Effect.gen(function* () {
    const before = edge.entries.length
    const { name, peer } = yield* greeted(edge.address, { from })
    yield* peer.finish
    const entries = yield* edge.entryCount(before + 1)
    return [name, entries.at(-1)?.attempts]
  }).pipe(Effect.scoped)

describe("H1: a backend that is killed while it is checked", () => {
  it.live("costs no client anything, is found down, and serves again when it is back", () =>
    Effect.gen(function* () {
      const near = yield* backendProcess("near")
      const other = yield* backendProcess("other")
      const edge = yield* startWith([row("near", near.endpoint, nearest), row("other", other.endpoint, far)], checks)
      const api = yield* apiOf(edge)
      assert.deepStrictEqual(yield* whoServes(edge), ["near", 1])

      yield* near.signal("SIGKILL")
      // Before the checks find out, the next candidate serves.
      assert.strictEqual((yield* whoServes(edge))[0], "other")
      const down = yield* edge.log(isOf("backend down", "near"))
      assert.strictEqual(down["error"], "refused: ECONNREFUSED")
      assert.deepStrictEqual(yield* whoServes(edge), ["other", 1])
      const { body } = yield* api.call("GET", "/api/v1/backends/near")
      assert.deepInclude(body, { state: "down", check_error: "refused: ECONNREFUSED", healthy: true })
      const explained = yield* api.call("GET", `/api/v1/explain?ip=${from}`)
      assert.deepInclude(explained.body["out"], { total: 1 })
      assert.deepInclude((explained.body["out"] as { readonly shown: ReadonlyArray<object> }).shown[0], {
        id: "near",
        reason: "down"
      })

      yield* backendProcess("near", { port: near.endpoint.port })
      yield* edge.log(isOf("backend up again", "near"))
      assert.strictEqual((yield* api.call("GET", "/api/v1/backends/near")).body["state"], "active")
      yield* Effect.scoped(greeted(edge.address, { from: "127.3.0.9" })).pipe(
        Effect.tap(({ name }) => Effect.sync(() => assert.strictEqual(name, "near")))
      )
    })
  )

  it.live("is found out by HTTP when it only hangs, and its connections are closed if so configured", () =>
    Effect.gen(function* () {
      const near = yield* backendProcess("near", { speaks: "http" })
      const other = yield* backendProcess("other", { speaks: "http" })
      const edge = yield* startWith([row("near", near.endpoint, nearest), row("other", other.endpoint, far)], {
        ...checks,
        HEALTH_CHECK_TYPE: "http",
        HEALTH_CHECK_TIMEOUT_SECS: "0.3",
        ON_BACKEND_DOWN: "close"
      })
      const client = yield* connect(edge.address, { from })
      yield* client.send("hello")
      yield* client.awaitText("near\n")
      yield* near.signal("SIGSTOP")
      const down = yield* edge.log(isOf("backend down", "near"))
      assert.match(String(down["error"]), /^timeout/)
      const entry = yield* edge.entry(() => true)
      assert.strictEqual(why(entry), "proxy relay backend-down")
      yield* near.signal("SIGCONT")
      yield* edge.log(isOf("backend up again", "near"))
    })
  )
})

describe("H3: all backends down", () => {
  it.live("are tried all the same, and the first that comes back serves at once", () =>
    Effect.gen(function* () {
      const a = yield* backendProcess("a")
      const b = yield* backendProcess("b")
      const edge = yield* startWith([row("a", a.endpoint), row("b", b.endpoint)], {
        ...checks,
        // So slow to see them up again that only the panic can make them serve.
        HEALTH_HEALTHY_THRESHOLD: "1000"
      })
      yield* a.signal("SIGKILL")
      yield* b.signal("SIGKILL")
      const panic = yield* edge.log("too few backends are up")
      assert.deepInclude(panic, { up: 0, backends: 2 })
      assert.strictEqual(yield* refusalOf(edge.address, { from }), "ECONNRESET")
      const entry = yield* edge.entry(({ client }) => client === from)
      assert.deepStrictEqual([why(entry), entry.attempts], ["backend dial refused", 2])
      yield* backendProcess("a", { port: a.endpoint.port })
      assert.strictEqual((yield* whoServes(edge))[0], "a")
      assert.lengthOf(
        edge.logs.filter(({ message }) => message.startsWith("too few backends are up")),
        1
      )
    })
  )
})

describe("H2: the circuit of a backend that refuses", () => {
  it.live("opens, so that clients lose no time on it, tries it again, and closes", () =>
    Effect.gen(function* () {
      const near = yield* backendProcess("near")
      const other = yield* backendProcess("other")
      const edge = yield* startWith([row("near", near.endpoint, nearest), row("other", other.endpoint, far)], {
        CIRCUIT_BREAKER_ENABLED: "true",
        CIRCUIT_FAILURE_THRESHOLD: "3",
        CIRCUIT_SUCCESS_THRESHOLD: "2",
        CIRCUIT_TIMEOUT_SECS: "2",
        BINDING_TTL_SECS: "0"
      })
      const api = yield* apiOf(edge)
      yield* near.signal("SIGKILL")
      for (let client = 0; client < 3; client++) assert.deepStrictEqual(yield* whoServes(edge), ["other", 2])
      yield* edge.log(isOf("circuit open", "near"))
      assert.deepStrictEqual(yield* whoServes(edge), ["other", 1])
      assert.deepInclude((yield* api.call("GET", "/api/v1/backends/near")).body, {
        state: "circuit-open",
        circuit: "open"
      })

      yield* backendProcess("near", { port: near.endpoint.port })
      yield* edge.log(isOf("circuit half-open", "near"))
      assert.deepStrictEqual(yield* whoServes(edge), ["near", 1])
      assert.deepStrictEqual(yield* whoServes(edge), ["near", 1])
      yield* edge.log(isOf("circuit closed", "near"))
      const lines = edge.logs.filter(({ message }) => message.startsWith("circuit "))
      assert.lengthOf(lines, 3)
    })
  )

  it.live("opens for one that accepts and closes without a word, and that serves nobody", () =>
    Effect.gen(function* () {
      const other = yield* backendProcess("other")
      const sink = yield* serve({ onPeer: ({ socket }) => void socket.end() })
      const edge = yield* startWith([row("sink", sink.endpoint, nearest), row("other", other.endpoint, far)], {
        CIRCUIT_BREAKER_ENABLED: "true",
        CIRCUIT_FAILURE_THRESHOLD: "4",
        CIRCUIT_TIMEOUT_SECS: "60",
        BINDING_TTL_SECS: "0"
      })
      const names: Array<boolean> = []
      for (let client = 0; client < 8; client++) {
        const before = edge.entries.length
        const peer = yield* connect(edge.address, { from })
        names.push(yield* Effect.raceFirst(Effect.as(peer.awaitText("\n"), true), Effect.as(peer.awaitFin, false)))
        yield* peer.finish
        yield* edge.entryCount(before + 1)
      }
      assert.deepStrictEqual(names, [false, false, false, false, true, true, true, true])
    })
  )
})
