import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as TestClock from "effect/testing/TestClock"
import * as edgeClient from "../../src/cli/edgeClient.ts"

type Request = HttpClientRequest.HttpClientRequest

/** A client of a server that a test plays. */
const clientOf = (
  answer: (request: Request, url: URL) => Effect.Effect<Response, HttpClientError.HttpClientError>,
  token?: string
) =>
  edgeClient.make({ url: "http://127.0.0.1:8081", token: token === undefined ? undefined : Redacted.make(token) }).pipe(
    Effect.provideService(
      HttpClient.HttpClient,
      HttpClient.make((request, url) =>
        Effect.map(answer(request, url), (response) => HttpClientResponse.fromWeb(request, response))
      )
    )
  )

const json = (status: number, body: unknown) =>
  Effect.succeed(
    new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json; charset=utf-8" } })
  )

const messageOf = <A>(effect: Effect.Effect<A, Error>) => Effect.map(Effect.flip(effect), ({ message }) => message)

describe("the client of a running process", () => {
  it.effect("asks as the API has it, with the token", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const edge = yield* clientOf((request, url) => {
        asked.push([request.method, decodeURI(url.pathname + url.search), request.headers["authorization"]])
        return json(200, url.pathname.endsWith("confirm") ? { confirmed: true } : { id: "a/b", draining: true })
      }, "s3cret")
      yield* edge.setDraining("a/b", true)
      assert.isTrue(yield* edge.confirmTable)
      assert.deepStrictEqual(asked, [
        ["POST", "/api/v1/backends/a%2Fb/drain", "Bearer s3cret"],
        ["POST", "/api/v1/table/confirm", "Bearer s3cret"]
      ])
    })
  )

  it.effect("tells a refusal in the API's words", () =>
    Effect.gen(function* () {
      const refused = (status: number, body: unknown) =>
        Effect.flatMap(
          clientOf(() => json(status, body)),
          ({ kill }) => Effect.flip(kill("7"))
        )
      const unknown = yield* refused(404, { error: "no such connection", id: "7" })
      assert.deepStrictEqual([unknown.reason, unknown.message], ["refused", "no such connection: 7"])
      const token = yield* refused(401, { error: "wrong token" })
      assert.strictEqual(token.message, "wrong token; the token is that of EDGEPROXY_API_TOKEN or --token-file")
      assert.strictEqual((yield* refused(403, { error: "from loopback only" })).message, "from loopback only")
      assert.strictEqual((yield* refused(429, { error: "slow down" })).message, "slow down")
    })
  )

  it.effect("tells when what answers is something else", () =>
    Effect.gen(function* () {
      const health = (response: Response) =>
        Effect.flatMap(
          clientOf(() => Effect.succeed(response)),
          ({ health }) => messageOf(health)
        )
      for (const response of [
        new Response("<h1>It works!</h1>", { status: 200, headers: { "content-type": "text/html" } }),
        new Response(null, { status: 302, headers: { location: "http://elsewhere/" } }),
        new Response("not found", { status: 404 }),
        new Response("{}", { status: 200, headers: { "content-type": "application/json" } })
      ]) {
        assert.match(
          yield* health(response),
          /^no edgeproxy answers at 127\.0\.0\.1:8081: (what answers is no edgeproxy API \(HTTP \d+\)|its answer is not understood); is it running\?$/
        )
      }
    })
  )

  it.effect.each([
    ["ECONNREFUSED", "connection refused"],
    ["ENOTFOUND", "no such host"],
    ["EHOSTUNREACH", "no route to the host"],
    ["EWHATEVER", "EWHATEVER"]
  ] as const)("tells why nobody answers: %s", ([code, told]) =>
    Effect.gen(function* () {
      const cause = new TypeError("fetch failed", { cause: Object.assign(new Error("deep"), { code }) })
      const edge = yield* clientOf((request) =>
        Effect.fail(
          new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
        )
      )
      const error = yield* Effect.flip(edge.table)
      assert.strictEqual(error.message, `no edgeproxy answers at 127.0.0.1:8081: ${told}; is it running?`)
    })
  )

  it.effect("does not wait for ever", () =>
    Effect.gen(function* () {
      const edge = yield* clientOf(() => Effect.never)
      const waiting = yield* Effect.forkChild(messageOf(edge.table))
      yield* TestClock.adjust("15 seconds")
      assert.include(yield* Fiber.join(waiting), "no answer")
      // Before the health check of a container is ended by who runs it.
      const probing = yield* Effect.forkChild(messageOf(edge.health))
      yield* TestClock.adjust("3 seconds")
      assert.include(yield* Fiber.join(probing), "no answer")
    })
  )

  it.effect("takes a POP that is not ready for an answer", () =>
    Effect.gen(function* () {
      const body = { ready: false, reasons: ["draining"], degraded: [] }
      const edge = yield* clientOf(() => json(503, body))
      const answer: unknown = yield* edge.ready
      assert.deepStrictEqual(answer, body)
    })
  )
})
