import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connect } from "../support/tcp.ts"
import { viewOf } from "./MemoryRegistry.ts"
import * as rig from "./rig.ts"

const { ask, make, post, registration } = rig

interface Bad {
  readonly error: string
  readonly issues: ReadonlyArray<{ readonly path: string; readonly message: string }>
}

const paths = (json: unknown): ReadonlyArray<string> => (json as Bad).issues.map(({ path }) => path)

describe("bad input (D6)", () => {
  it.live("is told field by field, all at once", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      const { json, status } = yield* post(address, "/api/v1/register", {
        id: 7,
        region: "sa",
        ip: null,
        port: 70_000,
        weight: -1,
        soft_limit: 1.5,
        hard_limit: "150"
      })
      assert.strictEqual(status, 400)
      assert.strictEqual((json as Bad).error, "bad request")
      assert.sameMembers([...paths(json)], ["id", "app", "ip", "port", "weight", "soft_limit", "hard_limit"])
      const port = (json as Bad).issues.find(({ path }) => path === "port")
      assert.include(port?.message, "an integer from 1 to 65535")
      assert.strictEqual(registry.views.size, 0)
    })
  )

  it.live.each([
    [{ id: "" }, "id"],
    [{ id: "x".repeat(129) }, "id"],
    [{ id: "a\u0000b" }, "id"],
    [{ id: "\ud800" }, "id"],
    [{ app: "a\nb" }, "app"],
    [{ region: "mars" }, "region"],
    [{ country: "XX" }, "country"],
    [{ ip: "example..com" }, "ip"],
    [{ ip: "0.0.0.0" }, "ip"],
    [{ port: 0 }, "port"],
    [{ port: Number.MAX_SAFE_INTEGER }, "port"],
    [{ weight: 1_001 }, "weight"],
    [{ soft_limit: 10_000_001 }, "soft_limit"]
  ] as ReadonlyArray<readonly [fields: Record<string, unknown>, path: string]>)(
    "%j is refused at its field",
    ([fields, path]) =>
      Effect.gen(function* () {
        const { address, registry } = yield* make()
        const { json, status } = yield* post(address, "/api/v1/register", registration(fields))
        assert.strictEqual(status, 400)
        assert.deepStrictEqual(paths(json), [path])
        assert.strictEqual(registry.views.size, 0)
      })
  )

  it.live.each([
    "",
    "{",
    "nonsense",
    "null",
    "[]",
    "7",
    '"text"',
    '{"id":"a",}',
    "\u0000",
    "{}".repeat(100),
    "[".repeat(65_000),
    `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`,
    `{"id":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    `{"id":"${"x".repeat(60_000)}"}`
  ])("a body that is no registration is refused, case %#", (body) =>
    Effect.gen(function* () {
      const { address, lines } = yield* make()
      const answer = yield* post(address, "/api/v1/register", body)
      assert.strictEqual(answer.status, 400)
      assert.isNotEmpty((answer.json as Bad).issues)
      assert.isBelow(answer.body.length, 10_000)
      assert.notMatch(answer.body, / at .*\.(ts|js)|node_modules/)
      assert.deepStrictEqual(
        lines.filter((line) => line.includes("fault of the proxy")),
        []
      )
    })
  )

  it.live("bytes that are no UTF-8 are refused", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const body = Buffer.from(JSON.stringify(registration({ id: "caf?" })))
      body[body.indexOf("?")] = 0xe9
      const { json, status } = yield* ask(address, "/api/v1/register", { method: "POST", headers: rig.json, body })
      assert.strictEqual(status, 400)
      assert.deepStrictEqual((json as Bad).issues, [{ path: "", message: "expected UTF-8" }])
    })
  )

  it.live("keys that would reach prototypes do not", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      const fields = JSON.stringify(registration()).slice(1)
      const body = `{"__proto__":{"weight":9,"polluted":1},"constructor":{"prototype":{"polluted":1}},${fields}`
      assert.strictEqual((yield* post(address, "/api/v1/register", body)).status, 201)
      assert.strictEqual(registry.views.get("sa-node-1")?.weight, 2)
      assert.isUndefined((Object.prototype as unknown as { readonly polluted?: unknown }).polluted)
      const query = yield* ask(address, "/api/v1/backends?__proto__=x&constructor=y&app[__proto__]=z")
      assert.strictEqual(query.status, 200)
      const twice = yield* post(address, "/api/v1/register", `{"id":"first",${fields}`)
      assert.deepInclude(twice.json, { id: "sa-node-1" })
    })
  )

  it.live.each([
    ["unknown", 404, { error: "backend not registered", id: "sa-node-1" }],
    ["foreign", 409, { error: "foreign", id: "sa-node-1" }],
    ["invalid", 400, { error: "bad request", issues: [{ path: "", message: "invalid" }] }],
    ["address", 403, { error: "address" }],
    ["not-durable", 503, { error: "not-durable" }],
    ["busy", 503, { error: "busy" }]
  ] as const)("what the registry calls %s", ([reason, status, json]) =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      registry.views.set("sa-node-1", viewOf({ id: "sa-node-1" }))
      registry.failWith = reason
      const answers = [
        yield* post(address, "/api/v1/register", registration()),
        yield* ask(address, "/api/v1/heartbeat/sa-node-1", { method: "POST" }),
        yield* ask(address, "/api/v1/backends/sa-node-1", { method: "DELETE" }),
        yield* ask(address, "/api/v1/backends/sa-node-1/drain", { method: "POST" }),
        yield* ask(address, "/api/v1/backends/sa-node-1/undrain", { method: "POST" })
      ]
      for (const answer of answers) assert.deepStrictEqual([answer.status, answer.json], [status, json])
    })
  )

  it.live("the typed client has the errors as values", () =>
    Effect.gen(function* () {
      const { client, registry } = yield* make()
      const typed = yield* client()
      const missing = yield* Effect.flip(typed.backends.get({ params: { id: "x" } }))
      assert.deepInclude(missing, { _tag: "NotFound", id: "x" })
      registry.failWith = "foreign"
      assert.deepInclude(yield* Effect.flip(typed.backends.deregister({ params: { id: "x" } })), { _tag: "Conflict" })
      const wrong = yield* Effect.flip((yield* client("wrong")).operations.table())
      assert.deepInclude(wrong, { _tag: "Unauthorized", error: "wrong token" })
    })
  )
})

describe("paths and methods", () => {
  it.live.each([
    "/",
    "/api",
    "/api/v1",
    "/api/v2/backends",
    "/api/v1/backends/a/b",
    "/API/V1/backends",
    "/api/v1/heartbeat",
    "/api/v1/backends/%zz",
    "/api/v1/backends/%",
    "/api/v1/backends/%c3%28",
    `/api/v1/backends/${"x".repeat(500)}`,
    "/health/x",
    "/../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//evil.example/health/x",
    "*"
  ])("%j is nowhere", (path) =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const { headers, json, status } = yield* ask(address, path)
      assert.deepStrictEqual([status, json], [404, { error: "no such path" }])
      assert.include(headers["content-type"], "application/json")
    })
  )

  it.live.each([
    ["GET", "/api/v1/register", "POST"],
    ["PUT", "/api/v1/register", "POST"],
    ["POST", "/api/v1/backends", "GET, HEAD"],
    ["PATCH", "/api/v1/backends/b1", "GET, DELETE, HEAD"],
    ["GET", "/api/v1/connections/1", "DELETE"],
    ["OPTIONS", "/api/v1/register", "POST"],
    ["TRACE", "/health", "GET, HEAD"],
    ["PROPFIND", "/health", "GET, HEAD"],
    ["DELETE", "/ready", "GET, HEAD"],
    ["HEAD", "/api/v1/table/confirm", "POST"]
  ] as const)("%s %s is not done, %s is", ([method, path, allow]) =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const { headers, json, status } = yield* ask(address, path, { method })
      assert.strictEqual(status, 405)
      assert.sameMembers((headers["allow"] ?? "").split(", "), allow.split(", "))
      if (method !== "HEAD") assert.deepStrictEqual(json, { error: "no such method here" })
    })
  )

  it.live.each(["/health", "/ready", "/api/v1/table", "/api/v1/actors", "/openapi.json"])(
    "HEAD %s has the headers of GET and no body",
    (path) =>
      Effect.gen(function* () {
        const { address } = yield* make()
        const [head, get] = [yield* ask(address, path, { method: "HEAD" }), yield* ask(address, path)]
        assert.deepStrictEqual([head.status, head.body], [200, ""])
        assert.strictEqual(head.headers["content-length"], get.headers["content-length"])
        assert.strictEqual(head.headers["content-type"], get.headers["content-type"])
      })
  )
})

describe("large bodies", () => {
  const head = (length: string) =>
    `POST /api/v1/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${length}\r\n\r\n`

  it.live("64 KiB are taken, one byte more is not", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const fill = (size: number) => {
        const empty = JSON.stringify(registration({ more: "" })).length
        return JSON.stringify(registration({ more: "x".repeat(size - empty) }))
      }
      assert.strictEqual((yield* post(address, "/api/v1/register", fill(65_536))).status, 201)
      const { json, status } = yield* post(address, "/api/v1/register", fill(65_537))
      assert.deepStrictEqual([status, json], [413, { error: "the body is larger than 65536 bytes", max_bytes: 65_536 }])
    })
  )

  it.live("one that is announced is refused before it comes", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(head("Content-Length: 10000000000"))
      yield* peer.awaitText("413")
      yield* peer.awaitFin
    })
  )

  it.live("one without a length is cut off early", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(head("Transfer-Encoding: chunked"))
      const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`
      // 16 MiB, if they were all taken.
      for (let sent = 0; sent < 1_000 && peer.closed() === undefined && !peer.text().includes("413"); sent++) {
        yield* peer.send(chunk)
      }
      yield* peer.awaitText("413")
      assert.isBelow(peer.socket.bytesWritten, 8_000_000)
      yield* peer.finish
      yield* peer.awaitClosed
    })
  )

  it.live("of those that are allowed nothing, none is read", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(head("Origin: http://evil.example\r\nContent-Length: 60000"))
      yield* peer.awaitText("403")
    })
  )
})
