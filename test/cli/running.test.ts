import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { greeted, startWith } from "../e2e/setup.ts"
import { apiOf } from "../support/edgeApi.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { edgeproxy } from "./program.ts"

const api = { API_LISTEN_ADDR: "127.0.0.1:0" }

/** A running proxy with a backend that greets, and the command line beside it. */
const start = Effect.fnUntraced(function* (env: Readonly<Record<string, string>> = {}) {
  const backend = yield* serve({ onPeer: greet("hello") })
  const edge = yield* startWith([rowOf("n1", backend, { country: "BR" })], { ...api, ...env })
  const { until, url } = yield* apiOf(edge)
  // A wildcard address is asked on loopback.
  const own = { API_LISTEN_ADDR: `0.0.0.0:${new URL(url).port}`, DB_PATH: edge.database, DB_RELOAD_SECS: "0.1" }
  const cli = (line: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) =>
    edgeproxy(line, { cwd: edge.directory, env: { ...own, ...more } })
  return { backend, cli, edge, until, url }
})

const parsed = ({ code, err, out }: { readonly code: number | null; readonly err: string; readonly out: string }) => {
  assert.deepStrictEqual([code, err], [0, ""])
  return JSON.parse(out) as Readonly<Record<string, unknown>>
}

describe("X1: the command line beside a running proxy", () => {
  it.live("lists, explains, drains and undrains", () =>
    Effect.gen(function* () {
      const { backend, cli, edge } = yield* start()
      const { backends, total } = parsed(yield* cli(["backends", "list", "--json"]))
      assert.deepInclude((backends as ReadonlyArray<object>)[0], {
        id: "n1",
        port: backend.endpoint.port,
        state: "active"
      })
      assert.strictEqual(total, 1)
      const { choice } = parsed(yield* cli(["explain", "127.1.0.1", "--json"]))
      assert.deepStrictEqual(choice, { backend: "n1", tier: 0, affinity: "new" })

      assert.deepStrictEqual(yield* cli(["backends", "drain", "n1"]), { code: 0, out: "n1 is draining\n", err: "" })
      const out = parsed(yield* cli(["explain", "127.1.0.1", "--json"]))["out"]
      assert.deepInclude(out, { total: 1 })
      assert.include((yield* cli(["backends", "list"])).out, "draining")
      assert.strictEqual((yield* cli(["backends", "undrain", "n1"])).code, 0)
      assert.strictEqual((yield* greeted(edge.address)).name, "hello")

      const unknown = yield* cli(["backends", "drain", "nix"])
      assert.deepStrictEqual([unknown.code, unknown.out], [1, ""])
      assert.include(unknown.err, "nix")
    })
  )

  it.live("ends a connection by its name in the log too, and none that another process has called so", () =>
    Effect.gen(function* () {
      const { cli, edge } = yield* start()
      const first = yield* greeted(edge.address)
      yield* first.peer.finish
      const [entry] = yield* edge.entryCount(1)
      const [boot = ""] = entry?.conn.split("-") ?? []
      yield* greeted(edge.address)
      const { connections } = parsed(yield* cli(["connections", "--json"]))
      const [{ id = "" } = {}] = connections as ReadonlyArray<{ readonly id?: string }>
      assert.strictEqual((yield* cli(["connections", "kill", `${boot}0-${id}`])).code, 1)
      const killed = yield* cli(["connections", "kill", `${boot}-${id}`])
      assert.deepStrictEqual([killed.code, killed.err], [0, ""])
      const [, last] = yield* edge.entryCount(2)
      assert.strictEqual(last?.end_cause, "killed")
    })
  )

  it.live("explains a connection while it is open and after its end", () =>
    Effect.gen(function* () {
      const { cli, edge } = yield* start()
      const { peer } = yield* greeted(edge.address, { from: "127.1.0.1" })
      const { connections } = parsed(yield* cli(["connections", "--json"]))
      const [{ id } = { id: "" }] = connections as ReadonlyArray<{ readonly id: string }>
      const open = parsed(yield* cli(["explain", "--conn", id, "--json"]))
      assert.deepInclude(open["recorded"], { state: "open", client: "127.1.0.1", country: "BR", end: null })
      yield* peer.finish
      const [entry] = yield* edge.entryCount(1)
      const ended = parsed(yield* cli(["explain", "--conn", entry?.conn ?? "", "--json"]))
      assert.deepInclude(ended["recorded"], { conn: entry?.conn, state: "ended", failures: [] })
      assert.deepInclude(ended["now"], { choice: { backend: "n1", tier: 0, affinity: "hit" } })
      const { out } = yield* cli(["explain", "--conn", id])
      for (const text of [
        "As it was noted down then",
        "n1 at 127.0.0.1",
        "by client, in relay, fin",
        "by its binding"
      ]) {
        assert.include(out, text)
      }
      const unknown = yield* cli(["explain", "--conn", "other-1"])
      assert.deepStrictEqual([unknown.code, unknown.out], [1, ""])
      assert.include(unknown.err, "no such connection")
      assert.strictEqual((yield* cli(["explain"])).code, 1)
      assert.strictEqual((yield* cli(["explain", "127.1.0.1", "--conn", id])).code, 1)
    })
  )

  it.live("shows connections and ends one", () =>
    Effect.gen(function* () {
      const { cli, edge } = yield* start()
      yield* greeted(edge.address)
      const { connections } = parsed(yield* cli(["connections", "--json"]))
      const [first] = connections as ReadonlyArray<{ readonly id: string; readonly backend: string }>
      assert.strictEqual(first?.backend, "n1")
      assert.strictEqual((yield* cli(["connections", "kill", first?.id ?? ""])).code, 0)
      const entry = yield* edge.entry(() => true)
      assert.deepInclude(entry, { end_by: "proxy", end_cause: "killed" })
    })
  )

  it.live("tells of its health and its table", () =>
    Effect.gen(function* () {
      const { cli, url } = yield* start()
      assert.deepInclude(parsed(yield* cli(["health", "--json"])), { status: "ok", pop: "test-pop", region: "sa" })
      assert.deepInclude(parsed(yield* cli(["health", "--ready", "--json", "--api", `${url}/`])), { ready: true })
      assert.deepInclude(parsed(yield* cli(["table", "show", "--json"])), { backends: 1, held: null })
      assert.strictEqual((yield* cli(["table", "confirm"])).out, "nothing was held\n")
      const check = parsed(yield* cli(["check", "--json"]))
      assert.include(JSON.stringify(check), "not tried: edgeproxy")
    })
  )

  it.live("changes the table itself, and the proxy follows", () =>
    Effect.gen(function* () {
      const { backend, cli, until } = yield* start()
      const { address, port } = backend.endpoint
      const add = ["backends", "add", "n2", "--region", "eu", "--ip", address, "--port", String(port), "--json"]
      assert.deepInclude(parsed(yield* cli(add)), { id: "n2" })
      yield* until("/api/v1/backends/n2", ({ body, status }) => status === 200 && body["weight"] === 1)
      assert.strictEqual((yield* cli(["backends", "set", "n2", "--weight", "7", "--soft-limit", "9"])).code, 0)
      yield* until("/api/v1/backends/n2", ({ body }) => body["weight"] === 7 && body["soft_limit"] === 9)
      assert.strictEqual((yield* cli(["backends", "drain", "n2", "--store"])).code, 0)
      yield* until("/api/v1/backends/n2", ({ body }) => body["state"] === "draining")
      assert.strictEqual((yield* cli(["backends", "remove", "n2"])).code, 0)
      yield* until("/api/v1/backends/n2", ({ status }) => status === 404)
    })
  )

  it.live("takes the token from the environment or a file, and never shows it", () =>
    Effect.gen(function* () {
      const token = "t0ken-of-the-test"
      const { cli, edge } = yield* start({ API_TOKEN: token, API_READ_TOKEN: "another" })
      assert.strictEqual((yield* cli(["backends", "drain", "n1"], { API_TOKEN: token })).code, 0)
      const file = join(edge.directory, "token")
      writeFileSync(file, `${token}\n`)
      assert.strictEqual((yield* cli(["backends", "undrain", "n1", "--token-file", file])).code, 0)

      const wrong = yield* cli(["backends", "drain", "n1"], { API_TOKEN: "wr0ng" })
      assert.deepStrictEqual([wrong.code, wrong.out], [1, ""])
      assert.include(wrong.err, "--token-file")
      assert.notInclude(wrong.err, "wr0ng")
      const reader = yield* cli(["backends", "drain", "n1"], { API_READ_TOKEN: "another" })
      assert.deepStrictEqual([reader.code, reader.err], [1, "this token may only read\n"])
      writeFileSync(file, "two words")
      const bad = yield* cli(["backends", "list", "--token-file", file])
      assert.strictEqual(bad.code, 1)
      assert.notInclude(bad.err, "two words")
    })
  )
})
