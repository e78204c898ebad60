import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { backend } from "../support/fixtures.ts"
import { viewOf } from "./MemoryRegistry.ts"
import * as rig from "./rig.ts"

const { ask, make, post, registration } = rig

describe("discovery (D1)", () => {
  it.live("registers: 201 when new, 200 when known, with the defaults of D1", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      const first = yield* post(address, "/api/v1/register", registration())
      assert.deepStrictEqual(
        [first.status, first.json],
        [201, { id: "sa-node-1", registered: true, message: "registered" }]
      )
      assert.include(first.headers["content-type"], "application/json")
      const again = yield* post(address, "/api/v1/register", registration({ weight: 5, hard_limit: 0 }))
      assert.deepStrictEqual(
        [again.status, again.json],
        [200, { id: "sa-node-1", registered: true, message: "already registered; refreshed" }]
      )
      const one = yield* ask(address, "/api/v1/backends/sa-node-1")
      assert.deepInclude(one.json, { weight: 5, soft_limit: 100, hard_limit: 0, country: null })
      assert.strictEqual(registry.views.size, 1)
    })
  )

  it.live("takes what may be absent as null too, and ignores what it does not know", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const body = registration({
        country: null,
        weight: null,
        soft_limit: null,
        hard_limit: null,
        more: { deep: [1] }
      })
      assert.strictEqual((yield* post(address, "/api/v1/register", body)).status, 201)
      const { json } = yield* ask(address, "/api/v1/backends/sa-node-1")
      assert.deepInclude(json, { weight: 2, soft_limit: 100, hard_limit: 150 })
    })
  )

  it.live("shows a backend with exactly the fields of D1", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      const now = Date.now()
      registry.views.set(
        "b1",
        viewOf({ id: "b1", connections: 7, registeredAt: now - 61_500, lastHeartbeatAt: now - 2_500, country: "BR" })
      )
      registry.views.set(
        "b2",
        viewOf({
          id: "b2",
          source: "table",
          owner: undefined,
          country: undefined,
          registeredAt: undefined,
          lastHeartbeatAt: undefined
        })
      )
      const list = yield* ask(address, "/api/v1/backends")
      assert.deepStrictEqual(list.json, {
        backends: [
          {
            id: "b1",
            app: "web",
            region: "eu",
            country: "BR",
            ip: "10.0.0.1",
            port: 8080,
            healthy: true,
            weight: 2,
            soft_limit: 100,
            hard_limit: 150,
            connections: 7,
            warm: 0,
            last_heartbeat_secs: 2,
            registered_secs: 61,
            source: "api",
            state: "active",
            circuit: "closed",
            check_error: null,
            share: 1,
            owner: "gru1"
          },
          {
            id: "b2",
            app: "web",
            region: "eu",
            country: null,
            ip: "10.0.0.1",
            port: 8080,
            healthy: true,
            weight: 2,
            soft_limit: 100,
            hard_limit: 150,
            connections: 0,
            warm: 0,
            last_heartbeat_secs: null,
            registered_secs: null,
            source: "table",
            state: "active",
            circuit: "closed",
            check_error: null,
            share: 1,
            owner: null
          }
        ],
        total: 2
      })
    })
  )

  it.live("takes heartbeats, drains and removes; 404 names the id", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      yield* post(address, "/api/v1/register", registration())
      const beat = yield* ask(address, "/api/v1/heartbeat/sa-node-1", { method: "POST" })
      assert.deepStrictEqual([beat.status, beat.json], [200, { id: "sa-node-1", status: "ok" }])
      assert.strictEqual(registry.heartbeats, 1)
      const drained = yield* ask(address, "/api/v1/backends/sa-node-1/drain", { method: "POST" })
      assert.deepStrictEqual([drained.status, drained.json], [200, { id: "sa-node-1", draining: true }])
      assert.deepInclude((yield* ask(address, "/api/v1/backends/sa-node-1")).json, { state: "draining" })
      const undrained = yield* ask(address, "/api/v1/backends/sa-node-1/undrain", { method: "POST" })
      assert.deepStrictEqual([undrained.status, undrained.json], [200, { id: "sa-node-1", draining: false }])
      const removed = yield* ask(address, "/api/v1/backends/sa-node-1", { method: "DELETE" })
      assert.deepStrictEqual([removed.status, removed.json], [200, { deregistered: true, id: "sa-node-1" }])
      for (const [method, path] of [
        ["POST", "/api/v1/heartbeat/sa-node-1"],
        ["GET", "/api/v1/backends/sa-node-1"],
        ["DELETE", "/api/v1/backends/sa-node-1"],
        ["POST", "/api/v1/backends/sa-node-1/drain"],
        ["POST", "/api/v1/backends/sa-node-1/undrain"]
      ] as const) {
        const gone = yield* ask(address, path, { method })
        assert.deepStrictEqual([gone.status, gone.json], [404, { error: "backend not registered", id: "sa-node-1" }])
      }
    })
  )

  it.live("filters by app and state, and lists what is quarantined", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      registry.views.set("a1", viewOf({ id: "a1", app: "a" }))
      registry.views.set("a2", viewOf({ id: "a2", app: "a", state: "draining" }))
      registry.views.set("b1", viewOf({ id: "b1", app: "b", state: "draining" }))
      registry.quarantined.set("bad", "port: Expected an integer from 1 to 65535, got 0")
      const client = yield* (yield* make()).client()
      assert.deepStrictEqual(yield* client.backends.list({ query: {} }), { backends: [], total: 0 })
      const ids = (query: string) =>
        Effect.map(ask(address, `/api/v1/backends${query}`), ({ json }) => {
          const { backends, total } = json as { backends: ReadonlyArray<{ id: string }>; total: number }
          assert.strictEqual(total, backends.length)
          return backends.map(({ id }) => id)
        })
      assert.deepStrictEqual(yield* ids(""), ["a1", "a2", "b1"])
      assert.deepStrictEqual(yield* ids("?app=a"), ["a1", "a2"])
      assert.deepStrictEqual(yield* ids("?state=draining"), ["a2", "b1"])
      assert.deepStrictEqual(yield* ids("?state=draining&app=b"), ["b1"])
      assert.deepStrictEqual(yield* ids("?app=nobody"), [])
      assert.deepStrictEqual((yield* ask(address, "/api/v1/backends?state=quarantined")).json, {
        backends: [{ id: "bad", reason: "port: Expected an integer from 1 to 65535, got 0", state: "quarantined" }],
        total: 1
      })
      const wrong = yield* ask(address, "/api/v1/backends?state=asleep")
      assert.strictEqual(wrong.status, 400)
      assert.deepNestedInclude(wrong.json, { "issues[0].path": "state" })
    })
  )

  it.live("a list of 20,000 is whole, and so are its pages", () =>
    Effect.gen(function* () {
      const { address, registry, client } = yield* make()
      for (let index = 0; index < 20_000; index++) registry.views.set(`b${index}`, viewOf({ id: `b${index}` }))
      const all = (yield* ask(address, "/api/v1/backends")).json as {
        backends: ReadonlyArray<{ id: string }>
        total: number
      }
      assert.deepInclude(all, { total: 20_000 })
      assert.strictEqual(new Set(all.backends.map(({ id }) => id)).size, 20_000)
      const typed = yield* client()
      const seen: Array<string> = []
      let after: string | undefined
      do {
        const query = after === undefined ? { limit: 1_000 } : { limit: 1_000, after }
        const page = yield* typed.backends.list({ query })
        assert.strictEqual(page.total, 20_000)
        seen.push(...page.backends.map(({ id }) => id))
        after = page.next
      } while (after !== undefined)
      assert.strictEqual(seen.length, 20_000)
      assert.strictEqual(new Set(seen).size, 20_000)
    })
  )

  it.live.each([
    "a/b",
    "ü界",
    "a b",
    "100%",
    "%2F",
    "a;b?c#d",
    "..",
    "x".repeat(128),
    "/".repeat(128),
    "é".repeat(64),
    "__proto__",
    "%41"
  ])("an id may be %j", (id) =>
    Effect.gen(function* () {
      const { address, client } = yield* make()
      const typed = yield* client()
      const { id: registered } = yield* typed.backends.register({
        payload: { id, app: "web", region: "eu", ip: "10.0.0.1", port: 1 }
      })
      assert.strictEqual(registered, id)
      // What a URL parser does to dots is not the server's doing.
      if (id === "..") return
      const path = `/api/v1/backends/${encodeURIComponent(id)}`
      assert.deepInclude((yield* ask(address, path)).json, { id })
      assert.deepInclude((yield* ask(address, `${path}/drain`, { method: "POST" })).json, { id })
      assert.strictEqual((yield* typed.backends.get({ params: { id } })).id, id)
      assert.deepInclude((yield* ask(address, path, { method: "DELETE" })).json, { id })
    })
  )
})

describe("operation (D4, D5, T5)", () => {
  it.live("pages through connections, each once, whatever comes and goes", () =>
    Effect.gen(function* () {
      const { address, client, connect, connections } = yield* make()
      for (let id = 1; id <= 250; id++) connect(id)
      const typed = yield* client()
      const first = yield* typed.operations.connections({ query: {} })
      assert.strictEqual(first.connections.length, 100)
      assert.strictEqual(first.total, 250)
      // Of those seen, of those to come, and new ones.
      for (const id of [1, 50, 100, 101, 150]) {
        const record = connections.get(id)
        if (record !== undefined) connections.remove(record)
      }
      connect(1_000)
      const seen = first.connections.map(({ id }) => id)
      let { next } = first
      while (next !== undefined) {
        const page = yield* typed.operations.connections({ query: { after: next, limit: 60 } })
        seen.push(...page.connections.map(({ id }) => id))
        next = page.next
      }
      assert.strictEqual(new Set(seen).size, seen.length)
      const stayed = Array.from({ length: 250 }, (_, index) => index + 1).filter((id) => ![101, 150].includes(id))
      assert.deepStrictEqual(
        seen,
        [...stayed, 1_000].map((id) => id.toString(36))
      )
      const wrong = yield* ask(address, "/api/v1/connections?after=not+an+id")
      assert.strictEqual(wrong.status, 400)
      for (const limit of ["0", "1001", "x", "-1", "1.5"]) {
        assert.strictEqual((yield* ask(address, `/api/v1/connections?limit=${limit}`)).status, 400, limit)
      }
    })
  )

  it.live("shows what a connection is and has carried", () =>
    Effect.gen(function* () {
      const { address, connect } = yield* make()
      connect(77, { connectUs: 1_500, attempts: 1 }, { bytesIn: 5_000_000_000, bytesOut: 7, idleMs: 12 })
      const { json } = yield* ask(address, "/api/v1/connections")
      const { connections } = json as { connections: ReadonlyArray<Record<string, unknown>> }
      assert.deepInclude(connections[0], {
        id: "25",
        phase: "relay",
        client: "203.0.113.7",
        client_port: 50_000,
        peer: null,
        country: "BR",
        region: "sa",
        listener: "0.0.0.0:8080",
        sni: null,
        backend: null,
        connect_ms: 1.5,
        idle_ms: 12,
        bytes_in: 5_000_000_000,
        bytes_out: 7
      })
    })
  )

  it.live("kills a connection: FIN when it is quiet, RST with bytes under way", () =>
    Effect.gen(function* () {
      const { aborts, address, connect } = yield* make()
      connect(40, { connectUs: 1 }, { idleMs: 5_000 })
      connect(41, { connectUs: 1 }, { idleMs: 3 })
      connect(42, {}, { idleMs: 5_000, waiting: 10 })
      for (const id of ["14", "15", "16"]) {
        const { json, status } = yield* ask(address, `/api/v1/connections/${id}`, { method: "DELETE" })
        assert.deepStrictEqual([status, json], [200, { killed: true, id }])
      }
      const killed = { by: "proxy", cause: "killed" }
      assert.deepStrictEqual(aborts, [
        { id: 40, how: "fin", why: { ...killed, phase: "relay" } },
        { id: 41, how: "rst", why: { ...killed, phase: "relay" } },
        { id: 42, how: "rst", why: { ...killed, phase: "route" } }
      ])
      for (const id of ["zz", "014", "14x!", "-1", "NaN", "1.5", "9".repeat(50)]) {
        const gone = yield* ask(address, `/api/v1/connections/${id}`, { method: "DELETE" })
        assert.deepStrictEqual([gone.status, gone.json], [404, { error: "no such connection", id }])
      }
    })
  )

  it.live("lists the actors", () =>
    Effect.gen(function* () {
      const { client, state } = yield* make()
      const now = Date.now()
      state.actors = [
        { name: "a", state: "running", restarts: 0, startedAt: now - 5_500, lastFailure: undefined },
        {
          name: "b",
          state: "crash-loop",
          restarts: 9,
          startedAt: now,
          lastFailure: { at: now - 1_500, message: "no such file" }
        }
      ]
      const { actors } = yield* (yield* client()).operations.actors()
      assert.deepStrictEqual(actors, [
        { name: "a", state: "running", restarts: 0, started_secs: 5, last_failure: null },
        {
          name: "b",
          state: "crash-loop",
          restarts: 9,
          started_secs: 0,
          last_failure: { secs: 1, message: "no such file" }
        }
      ])
    })
  )

  it.live("explains where a client would go", () =>
    Effect.gen(function* () {
      const { address, client, upstreams } = yield* make()
      upstreams.put(backend({ id: "b1", region: "sa", app: "web" }))
      upstreams.put(backend({ id: "b2", region: "eu", app: "web" }))
      upstreams.put(backend({ id: "b3", region: "sa", app: "pg", weight: 0 }))
      const typed = yield* client()
      const explained = yield* typed.operations.explain({ query: { ip: "198.51.100.1", app: "web" } })
      assert.deepInclude(explained.client, { country: "BR", region: "sa" })
      assert.deepInclude(explained.choice, { backend: "b1", tier: 1 })
      assert.deepStrictEqual(
        explained.candidates.shown.map(({ id }) => id),
        ["b1", "b2"]
      )
      assert.deepStrictEqual(
        explained.out.shown.map(({ id, reason }) => [id, reason]),
        [["b3", "other-app"]]
      )
      const none = yield* typed.operations.explain({ query: { ip: "198.51.100.1", app: "pg", shown: 1 } })
      assert.deepStrictEqual(none.choice, { backend: null, reason: "no-backend" })
      for (const query of ["", "?ip=", "?ip=localhost", "?ip=1.2.3.4.5", "?ip=1.2.3.4&shown=0"]) {
        const wrong = yield* ask(address, `/api/v1/explain${query}`)
        assert.strictEqual(wrong.status, 400, query)
        assert.property(wrong.json, "issues")
      }
    })
  )

  it.live("tells of the table, and confirms what is held once", () =>
    Effect.gen(function* () {
      const { address, client, state } = yield* make()
      const typed = yield* client()
      assert.deepStrictEqual(yield* typed.operations.table(), {
        version: 3,
        origin: "source",
        backends: 0,
        quarantined: 0,
        age_secs: 1.5,
        lost: null,
        held: null
      })
      state.table = { ...state.table, held: { eligible: 10, lost: 9 } }
      state.held = true
      assert.deepInclude((yield* ask(address, "/api/v1/table")).json, { held: { eligible: 10, lost: 9 } })
      assert.deepStrictEqual(yield* typed.operations.confirmTable(), { confirmed: true })
      assert.deepStrictEqual(yield* typed.operations.confirmTable(), { confirmed: false })
    })
  )
})

describe("the API about itself", () => {
  it.live("describes every endpoint in /openapi.json", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const { json, status } = yield* ask(address, "/openapi.json")
      assert.strictEqual(status, 200)
      const { info, openapi, paths } = json as {
        openapi: string
        info: unknown
        paths: Record<string, Record<string, { responses: object; security?: unknown }>>
      }
      assert.match(openapi, /^3\.1/)
      assert.deepInclude(info, { title: "edgeProxy", version: "1.2.3" })
      assert.deepStrictEqual(
        Object.entries(paths)
          .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`))
          .sort(),
        [
          "DELETE /api/v1/backends/{id}",
          "DELETE /api/v1/connections/{id}",
          "GET /api/v1/actors",
          "GET /api/v1/backends",
          "GET /api/v1/backends/{id}",
          "GET /api/v1/connections",
          "GET /api/v1/connections/{id}/explain",
          "GET /api/v1/explain",
          "GET /api/v1/live",
          "GET /api/v1/table",
          "GET /health",
          "GET /ready",
          "POST /api/v1/backends/{id}/drain",
          "POST /api/v1/backends/{id}/undrain",
          "POST /api/v1/heartbeat/{id}",
          "POST /api/v1/register",
          "POST /api/v1/table/confirm"
        ]
      )
      assert.deepStrictEqual(Object.keys(paths["/api/v1/register"]?.["post"]?.responses ?? {}), [
        "200",
        "201",
        "400",
        "401",
        "403",
        "404",
        "409",
        "413",
        "415",
        "429",
        "503"
      ])
      assert.deepStrictEqual(Object.keys(paths["/ready"]?.["get"]?.responses ?? {}), ["200", "503"])
    })
  )

  it.live("shows a page of it that loads nothing from elsewhere", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const { body, headers, status } = yield* ask(address, "/docs")
      assert.strictEqual(status, 200)
      assert.include(headers["content-type"], "text/html")
      assert.include(headers["content-security-policy"], "default-src 'none'")
      assert.notMatch(body, /<(script|link|img|iframe)[^>]+(src|href)=["']?https?:/i)
      assert.include(body, "SwaggerUIBundle")
      assert.include(body, "/api/v1/register")
    })
  )
})
