import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { insert, manual, SELECT } from "./setup.ts"
import { ask, transact } from "./talk.ts"

const posts = ["/v1/transactions", "/v1/queries", "/v1/subscriptions"]
const unreadable = "data did not match any variant of untagged enum Statement"
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const uuid = "0f9d3c1a-6d3f-4d0e-8f5a-0c4c39fd5a01"

describe("a request to the agent", () => {
  it.live("finds only the paths and methods that Corrosion has", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      for (const path of ["/", "/v1/migrations", "/ready", "/healthz", "/metrics", "/v1/table-stats", "/v1/updates"]) {
        const { body, headers, status } = yield* ask(url + path, { json: [] })
        assert.deepStrictEqual([status, body, headers["content-type"]], [404, "", undefined], path)
      }
      for (const path of [...posts, "/v1/table_stats", "/v1/updates/backends"]) {
        const { body, status } = yield* ask(url + path)
        assert.deepStrictEqual([status, body], [405, ""], path)
      }
      for (const path of ["/v1/health", `/v1/subscriptions/${uuid}`]) {
        assert.strictEqual((yield* ask(url + path, { json: "SELECT 1" })).status, 405, path)
      }
    })
  )

  it.live("needs the content type of JSON", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      for (const path of [...posts, "/v1/table_stats"]) {
        for (const headers of [{}, { "content-type": "text/plain" }]) {
          const reply = yield* ask(url + path, { body: '["SELECT 1"]', headers })
          assert.strictEqual(reply.status, 415, path)
          assert.match(reply.headers["content-type"] ?? "", /^text\/plain/)
        }
      }
      const typed = { "content-type": "application/json; charset=utf-8" }
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { body: '"SELECT 1"', headers: typed })).status, 200)
    })
  )

  it.live("is refused when JSON, query string or id is malformed", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const typed = { "content-type": "application/json" }
      for (const path of posts) {
        for (const body of ["", "{", "SELECT 1"]) {
          const reply = yield* ask(url + path, { method: "POST", body, headers: typed })
          assert.strictEqual(reply.status, 400, path)
          assert.match(reply.headers["content-type"] ?? "", /^text\/plain/)
        }
      }
      for (const query of ["skip_rows=1", "from=-1", "from=", "from=1.5", "from=1&from=2"]) {
        const reply = yield* ask(`${url}/v1/subscriptions?${query}`, { json: SELECT })
        assert.strictEqual(reply.status, 400, query)
        assert.strictEqual((yield* ask(`${url}/v1/subscriptions/${uuid}?${query}`)).status, 400, query)
        assert.match(reply.headers["content-type"] ?? "", /^text\/plain/)
      }
      for (const path of ["/v1/transactions", "/v1/queries"]) {
        assert.strictEqual((yield* ask(`${url}${path}?timeout=soon`, { json: ["DELETE FROM places"] })).status, 400)
      }
      for (const id of ["7", "nope", `${uuid}0`]) {
        const reply = yield* ask(`${url}/v1/subscriptions/${id}`)
        assert.strictEqual(reply.status, 400, id)
        assert.match(reply.headers["content-type"] ?? "", /^text\/plain/)
      }
    })
  )

  it.live.each([
    "SELECT 1",
    "SELECT 1;",
    ["SELECT ?", [1]],
    ["SELECT 1", []],
    ["SELECT :a", { ":a": 1 }],
    ["SELECT @a, $b", { "@a": 1, $b: 2 }],
    { query: "SELECT 1" },
    { query: "SELECT 1", params: null },
    { query: "SELECT ?", params: [1] },
    { query: "SELECT :a", named_params: { ":a": 1 } },
    { query: "SELECT ?", params: [1], named_params: { ":a": 1 } },
    { query: "SELECT 1", args: [1] }
  ])("takes %j for a statement", (statement) =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: statement })).status, 200)
      // A transaction takes the same forms, and refuses the rows of these.
      assert.match((yield* transact(url, statement)).body, /Execute returned results/)
    })
  )

  it.live.each([
    { sql: "SELECT 1" },
    { sql: "SELECT ?", params: [1] },
    { query: "SELECT :a", params: { ":a": 1 } },
    { query: "SELECT :a", named_params: [1] },
    { query: 1 },
    ["SELECT 1"],
    ["SELECT ?", 1],
    ["SELECT ?", [1], {}],
    ["SELECT ?", [[256]]],
    ["SELECT ?", [["a"]]],
    ["SELECT ?", [{ a: 1 }]],
    [["SELECT 1"]],
    null,
    {},
    1,
    []
  ])("refuses %j for a statement", (statement) =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      for (const path of ["/v1/queries", "/v1/subscriptions"]) {
        const { body, headers, status } = yield* ask(url + path, { json: statement })
        assert.strictEqual(status, 422)
        assert.include(body, unreadable)
        assert.match(headers["content-type"] ?? "", /^text\/plain/)
      }
      assert.strictEqual((yield* transact(url, statement)).status, 422)
    })
  )

  it.live("takes an array for a transaction, and each of its elements for a statement", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      for (const json of ["DELETE FROM backends", { query: "DELETE FROM backends" }]) {
        assert.strictEqual((yield* ask(`${url}/v1/transactions`, { json })).status, 422)
      }
      // Two statements, of which the second is none.
      assert.strictEqual(
        (yield* ask(`${url}/v1/transactions`, { json: ["INSERT INTO backends (id) VALUES (?)", ["m1"]] })).status,
        422
      )
      const none = yield* ask(`${url}/v1/transactions`, { json: [] })
      assert.strictEqual(none.status, 400)
      assert.deepInclude(JSON.parse(none.body), {
        results: [{ error: "at least 1 statement is required" }],
        time: 0,
        version: null
      })
      const mixed = yield* transact(
        url,
        insert("m1"),
        { query: "UPDATE backends SET healthy = ?", params: [0] },
        "DELETE FROM backends"
      )
      assert.deepStrictEqual(
        (JSON.parse(mixed.body) as { results: Array<{ rows_affected: number }> }).results.map(
          ({ rows_affected }) => rows_affected
        ),
        [1, 1, 1]
      )
    })
  )

  it.live("needs the token before anything else is looked at", () =>
    Effect.gen(function* () {
      const { url } = yield* manual({ token: "secret" })
      for (const path of ["/v1/queries", "/nowhere", "/v1/health"]) {
        for (const asked of [{}, bearer("wrong")]) {
          const { body, status } = yield* ask(url + path, { method: "POST", ...asked })
          assert.deepStrictEqual([status, body], [401, ""], path)
        }
      }
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { method: "POST", ...bearer("secret") })).status, 415)
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1", ...bearer("secret") })).status, 200)
    })
  )

  it.live("may not use another scheme, even where no token is needed", () =>
    Effect.gen(function* () {
      const { url } = yield* manual()
      const basic = { authorization: "Basic c2VjcmV0" }
      const reply = yield* ask(`${url}/nowhere`, { headers: basic })
      assert.strictEqual(reply.status, 400)
      assert.match(reply.headers["content-type"] ?? "", /^text\/plain/)
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1", ...bearer("any") })).status, 200)
    })
  )

  it.live("is refused when it names another agent", () =>
    Effect.gen(function* () {
      const { url } = yield* manual({ endpointName: "n1" })
      const named = (name: string) => ({
        json: "SELECT 1",
        headers: { "x-corrosion-requested-endpoint-name": name }
      })
      const other = yield* ask(`${url}/v1/queries`, named("n2"))
      assert.deepStrictEqual([other.status, other.body], [421, ""])
      assert.strictEqual((yield* ask(`${url}/v1/queries`, named("n1"))).status, 200)
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1" })).status, 200)
    })
  )

  it.live("is refused while there are too many, when told so", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      yield* control({ do: "answer", status: 503, on: "queries", times: 2 })
      assert.strictEqual((yield* transact(url, insert("m1"))).status, 200)
      for (let time = 0; time < 2; time++) {
        const { body, headers, status } = yield* ask(`${url}/v1/queries`, { json: "SELECT 1" })
        assert.deepStrictEqual([status, body], [503, "max concurrency limit reached"])
        assert.match(headers["content-type"] ?? "", /^text\/plain/)
      }
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1" })).status, 200)
    })
  )
})
