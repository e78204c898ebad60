import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { viewOf } from "./MemoryRegistry.ts"
import * as rig from "./rig.ts"

const { ask, bearer, elsewhere, make, post, READ_TOKEN, registration, TOKEN } = rig

const reads = [
  "/api/v1/backends",
  "/api/v1/backends/b1",
  "/api/v1/connections",
  "/api/v1/actors",
  "/api/v1/explain?ip=203.0.113.7",
  "/api/v1/table",
  "/openapi.json",
  "/docs"
] as const

const writes = [
  ["POST", "/api/v1/register"],
  ["POST", "/api/v1/heartbeat/b1"],
  ["POST", "/api/v1/backends/b1/drain"],
  ["POST", "/api/v1/backends/b1/undrain"],
  ["DELETE", "/api/v1/backends/b1"],
  ["DELETE", "/api/v1/connections/1"],
  ["POST", "/api/v1/table/confirm"]
] as const

/** A server on all addresses, with a backend and a connection. */
const populated = Effect.fnUntraced(function* (options: rig.RigOptions = {}) {
  const made = yield* make({ address: { address: "0.0.0.0", port: 0 }, ...options })
  made.registry.views.set("b1", viewOf({ id: "b1" }))
  made.connect(1)
  const at = (address: string) => ({ address, port: made.address.port })
  return { ...made, local: at("127.0.0.1"), remote: at(elsewhere ?? "127.0.0.1") }
})

const tried = Effect.fnUntraced(function* (
  address: { readonly address: string; readonly port: number },
  headers: Record<string, string>
) {
  const seen = { reads: [] as Array<number>, writes: [] as Array<number> }
  for (const path of reads) seen.reads.push((yield* ask(address, path, { headers })).status)
  for (const [method, path] of writes) {
    const question = path.endsWith("register") ? { body: JSON.stringify(registration()) } : {}
    const all = "body" in question ? { ...rig.json, ...headers } : headers
    seen.writes.push((yield* ask(address, path, { method, headers: all, ...question })).status)
  }
  return { reads: [...new Set(seen.reads)], writes: [...new Set(seen.writes)] }
})

describe.skipIf(elsewhere === undefined)("from another address", () => {
  it.live("nothing without a token but health and readiness", () =>
    Effect.gen(function* () {
      const { aborts, registry, remote } = yield* populated()
      assert.deepStrictEqual(yield* tried(remote, {}), { reads: [401], writes: [401] })
      // What a header says of loopback is nothing.
      for (const [name, value] of [
        ["x-forwarded-for", "127.0.0.1"],
        ["forwarded", "for=127.0.0.1"],
        ["x-real-ip", "127.0.0.1"],
        ["host", "localhost"],
        ["x-client-ip", "127.0.0.1"]
      ] as const) {
        assert.deepStrictEqual(yield* tried(remote, { [name]: value }), { reads: [401], writes: [401] }, name)
      }
      assert.strictEqual(registry.views.size, 1)
      assert.deepStrictEqual(aborts, [])
      const { headers, json } = yield* ask(remote, "/api/v1/backends")
      assert.deepStrictEqual(json, { error: "a token is needed" })
      assert.strictEqual(headers["www-authenticate"], "Bearer")
      for (const path of ["/health", "/ready"]) {
        assert.strictEqual((yield* ask(remote, path, { headers: { host: "pop.example.com" } })).status, 200)
      }
    })
  )

  it.live("without tokens there are, nothing at all", () =>
    Effect.gen(function* () {
      const { remote } = yield* populated({ tokens: false })
      assert.deepStrictEqual(yield* tried(remote, {}), { reads: [403], writes: [403] })
      assert.deepStrictEqual(yield* tried(remote, bearer("")), { reads: [403], writes: [403] })
      assert.deepStrictEqual(yield* tried(remote, bearer("undefined")), { reads: [403], writes: [403] })
    })
  )

  it.live("the writer's token opens all, the reader's what is read", () =>
    Effect.gen(function* () {
      const { remote } = yield* populated()
      assert.deepStrictEqual(yield* tried(remote, bearer(READ_TOKEN)), { reads: [200], writes: [403] })
      const { reads, writes } = yield* tried(remote, bearer(TOKEN))
      assert.deepStrictEqual(reads, [200])
      assert.deepStrictEqual(writes, [201, 200])
    })
  )

  it.live.each([
    "",
    "x",
    TOKEN.slice(1),
    `${TOKEN} `.repeat(2),
    `${TOKEN}x`,
    TOKEN.toUpperCase(),
    `${READ_TOKEN}${TOKEN}`,
    "x".repeat(6_000)
  ])("a wrong token opens nothing: %j", (token) =>
    Effect.gen(function* () {
      const { local, remote } = yield* populated()
      assert.deepStrictEqual(yield* tried(remote, bearer(token)), { reads: [401], writes: [401] })
      assert.deepStrictEqual(yield* tried(local, bearer(token)), { reads: [401], writes: [401] })
      const { json } = yield* ask(remote, "/api/v1/table", { headers: bearer(token) })
      assert.deepStrictEqual(json, { error: "wrong token" })
    })
  )

  it.live("a token elsewhere than in a bearer's header is none", () =>
    Effect.gen(function* () {
      const { remote } = yield* populated()
      const basic = Buffer.from(`user:${TOKEN}`).toString("base64")
      for (const headers of [
        { authorization: TOKEN },
        { authorization: `Basic ${basic}` },
        { authorization: `Bearer${TOKEN}` },
        { cookie: `token=${TOKEN}` },
        { "x-api-key": TOKEN }
      ]) {
        assert.deepStrictEqual(yield* tried(remote, headers), { reads: [401], writes: [401] }, JSON.stringify(headers))
      }
      assert.strictEqual((yield* ask(remote, `/api/v1/table?token=${TOKEN}`)).status, 401)
      // The scheme's case is nobody's business (RFC 9110).
      const lower = yield* ask(remote, "/api/v1/table", { headers: { authorization: `bearer ${TOKEN}` } })
      assert.strictEqual(lower.status, 200)
    })
  )

  it.live("public reads are public, and writes stay as they were", () =>
    Effect.gen(function* () {
      const { remote } = yield* populated({ publicReads: true })
      assert.deepStrictEqual(yield* tried(remote, { host: "pop.example.com" }), { reads: [200], writes: [401] })
    })
  )
})

describe("from loopback", () => {
  it.live("all is open without a token", () =>
    Effect.gen(function* () {
      const { local } = yield* populated({ tokens: false })
      assert.deepStrictEqual(yield* tried(local, {}), { reads: [200], writes: [201, 200] })
      // Where there are none, none can be wrong.
      assert.strictEqual((yield* ask(local, "/api/v1/table", { headers: bearer("x") })).status, 200)
    })
  )

  it.live("not to pages of other sites, nor by names of others for this host, nor through a proxy", () =>
    Effect.gen(function* () {
      const { aborts, local, registry } = yield* populated()
      for (const headers of [
        { origin: "https://evil.example" },
        { origin: "null" },
        { origin: "http://localhost:1" },
        { host: "evil.example" },
        { host: `evil.example:${local.port}`, origin: `http://evil.example:${local.port}` },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" }
      ]) {
        assert.deepStrictEqual(yield* tried(local, headers), { reads: [403], writes: [403] }, JSON.stringify(headers))
      }
      assert.deepStrictEqual(yield* tried(local, { "x-forwarded-for": "10.0.0.1" }), { reads: [401], writes: [401] })
      assert.strictEqual(registry.views.size, 1)
      assert.deepStrictEqual(aborts, [])
      // With a token they may: it is what they were given it for.
      const foreign = { ...bearer(TOKEN), origin: "https://evil.example", host: "evil.example" }
      assert.deepStrictEqual(yield* tried(local, foreign), { reads: [200], writes: [201, 200] })
    })
  )

  it.live("the page of the API itself may call it", () =>
    Effect.gen(function* () {
      const { local } = yield* populated()
      const host = `localhost:${local.port}`
      const headers = { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" }
      assert.deepStrictEqual(yield* tried(local, headers), { reads: [200], writes: [201, 200] })
    })
  )

  it.live("a request for another host in its first line is for that host", () =>
    Effect.gen(function* () {
      const { local } = yield* populated()
      assert.strictEqual((yield* ask(local, "http://evil.example/api/v1/table")).status, 403)
      assert.strictEqual((yield* ask(local, `http://127.0.0.1:${local.port}/api/v1/table`)).status, 200)
    })
  )

  it.live.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""])(
    "a form of a page is no registration: %j",
    (type) =>
      Effect.gen(function* () {
        const { local, registry } = yield* populated()
        const body = JSON.stringify(registration())
        for (const token of [{}, bearer(TOKEN)]) {
          const headers = { "content-type": type, ...token }
          const { json, status } = yield* ask(local, "/api/v1/register", { method: "POST", headers, body })
          assert.deepStrictEqual([status, json], [415, { error: "a body has to be application/json" }])
        }
        for (const [method, path] of writes) {
          const headers = { "content-type": type }
          assert.strictEqual((yield* ask(local, path, { method, headers, body: "x=y" })).status, 415)
        }
        assert.strictEqual(registry.views.size, 1)
      })
  )

  it.live("no CORS, no cookies, no caching, on any answer", () =>
    Effect.gen(function* () {
      const { local } = yield* populated()
      for (const [method, path] of [
        ["GET", "/api/v1/table"],
        ["OPTIONS", "/api/v1/register"],
        ["GET", "/nowhere"],
        ["GET", "/health"],
        ["GET", "/docs"]
      ] as const) {
        const origin = `http://127.0.0.1:${local.port}`
        const headers = { origin, "access-control-request-method": "POST" }
        const answer = yield* ask(local, path, { method, headers })
        assert.notMatch(Object.keys(answer.headers).join(), /access-control|set-cookie|x-powered-by|(^|,)server/)
        assert.strictEqual(answer.headers["cache-control"], "no-store")
        assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
      }
    })
  )
})

describe("tokens in the log", () => {
  it.live("are not there, whatever fails", () =>
    Effect.gen(function* () {
      const { lines, local, registry } = yield* populated()
      registry.dieOf = new Error("the database of /secret/path is broken")
      const { body, status } = yield* post(local, "/api/v1/register?token=in-the-url", registration(), {
        headers: bearer(TOKEN)
      })
      assert.deepStrictEqual([status, body], [500, '{"error":"internal"}'])
      assert.isTrue(lines.some((line) => line.includes("the database of /secret/path is broken")))
      assert.isFalse(lines.some((line) => line.includes(TOKEN) || line.includes("in-the-url")))
    })
  )
})
