import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import { brotliDecompressSync, gunzipSync } from "node:zlib"
import { pack } from "../../layers/dashboard/pack.ts"
import { encodingFor, pagePaths } from "../../src/api/pageRoutes.ts"
import * as rig from "./rig.ts"

const { elsewhere, make } = rig

// Put together once for all tests.
const packed = pack()
const page = Effect.promise(() => packed)

interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** The answer with its body as it was sent, undecoded. */
const get = (port: number, path: string, headers: Record<string, string> = {}, host = "127.0.0.1") =>
  Effect.callback<Answer, Error>((resume) => {
    const request = http.get({ host, port, path, headers, agent: false }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (part: Buffer) => parts.push(part))
      response.on("end", () =>
        resume(
          Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) })
        )
      )
    })
    request.on("error", (error) => resume(Effect.fail(error)))
  })

describe("the dashboard's files", () => {
  it.live("come as small as the client takes them, and not again when it has them", () =>
    Effect.gen(function* () {
      const {
        address: { port }
      } = yield* make({ page })
      for (const path of pagePaths) {
        const plain = yield* get(port, path)
        assert.strictEqual(plain.status, 200)
        assert.isUndefined(plain.headers["content-encoding"])
        const gzip = yield* get(port, path, { "accept-encoding": "gzip, deflate" })
        assert.strictEqual(gzip.headers["content-encoding"], "gzip")
        assert.isTrue(gunzipSync(gzip.body).equals(plain.body))
        const br = yield* get(port, path, { "accept-encoding": "gzip, br" })
        assert.strictEqual(br.headers["content-encoding"], "br")
        assert.isTrue(brotliDecompressSync(br.body).equals(plain.body))
        const etags = [plain, gzip, br].map(({ headers }) => headers["etag"])
        assert.strictEqual(new Set(etags).size, 3)
        const again = yield* get(port, path, {
          "accept-encoding": "br",
          "if-none-match": `"x", ${String(br.headers["etag"])}`
        })
        assert.deepStrictEqual([again.status, again.body.length, again.headers["etag"]], [304, 0, br.headers["etag"]])
        assert.strictEqual((yield* get(port, path, { "if-none-match": '"x"' })).status, 200)
      }
    })
  )

  it.live("allow nothing but themselves", () =>
    Effect.gen(function* () {
      const {
        address: { port }
      } = yield* make({ page })
      const { body, headers } = yield* get(port, "/")
      const policy = String(headers["content-security-policy"])
      assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/)
      assert.notMatch(policy, /unsafe|https?:|\*|data:/)
      assert.deepStrictEqual(
        [headers["x-content-type-options"], headers["cache-control"], headers["x-frame-options"]],
        ["nosniff", "no-cache", "DENY"]
      )
      // Of no effect where the browser does not trust the way here, and then an error in its console.
      const openerPolicy = (host: string, more = {}) =>
        Effect.map(get(port, "/", { host, ...more }), ({ headers }) => headers["cross-origin-opener-policy"])
      assert.strictEqual(yield* openerPolicy(`localhost:${port}`), "same-origin")
      assert.strictEqual(yield* openerPolicy("[::1]:8081"), "same-origin")
      assert.strictEqual(yield* openerPolicy("pop.example.com", { "x-forwarded-proto": "https" }), "same-origin")
      assert.isUndefined(yield* openerPolicy("10.0.0.1:8081"))
      assert.isUndefined(yield* openerPolicy("localhost.evil.example"))
      const markup = body.toString()
      assert.notMatch(markup, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:/)
    })
  )

  it.live.skipIf(elsewhere === undefined)("are for everyone; what they show is not", () =>
    Effect.gen(function* () {
      const {
        address: { port }
      } = yield* make({ page, address: { address: "0.0.0.0", port: 0 } })
      assert.strictEqual((yield* get(port, "/", {}, elsewhere)).status, 200)
      assert.strictEqual((yield* get(port, "/api/v1/live", {}, elsewhere)).status, 401)
    })
  )

  it.live("are not there when the dashboard is off", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      for (const path of pagePaths) assert.strictEqual((yield* rig.ask(address, path)).status, 404)
      const on = yield* make({ page })
      assert.strictEqual((yield* rig.ask(on.address, "/", { method: "POST" })).status, 405)
      assert.strictEqual((yield* rig.ask(on.address, "/", { method: "HEAD" })).body, "")
      assert.strictEqual((yield* rig.ask(on.address, "/dashboard.js?x=1")).status, 200)
      assert.strictEqual((yield* rig.ask(on.address, "/index.html")).status, 404)
    })
  )

  it.live("are light", () =>
    Effect.gen(function* () {
      const bytes = (yield* page).reduce((sum, { gzip }) => sum + gzip.length, 0)
      assert.isBelow(bytes, 80_000)
    })
  )
})

describe("the encoding that a client takes", () => {
  it.each([
    [undefined, "plain"],
    ["", "plain"],
    ["identity", "plain"],
    ["gzip", "gzip"],
    ["deflate, gzip;q=0.5", "gzip"],
    ["gzip, deflate, br", "br"],
    ["br;q=0, gzip", "gzip"],
    ["BR", "br"],
    ["brotli", "plain"],
    ["gzip;q=0.0", "plain"]
  ] as const)("of %s is %s", (accept, encoding) => assert.strictEqual(encodingFor(accept), encoding))
})
