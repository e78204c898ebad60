import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { apiOf } from "../support/edgeApi.ts"
import { parse } from "../support/exposition.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, greet, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { type Edge, refusalOf, served, startWith, why } from "./setup.ts"

const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

// By the geography of these tests: Brazil, the United States, Germany, and nowhere.
const [brazilian, american, german, unknown] = ["127.1.0.7", "127.2.0.7", "127.3.0.7", "127.9.0.7"]

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const greeting = Effect.map(serve({ onPeer: greet("a") }), (server) => ({
  server,
  rows: [rowOf("a", server, { hard_limit: 0 })]
}))

/** Whether a client from there is served; it leaves at once. */
const isServed = (edge: Edge, from: string) =>
  Effect.map(Effect.scoped(served(edge.address, { from })), (peer) => peer !== undefined)

const rejections = Effect.fnUntraced(function* (edge: Edge) {
  const { address, path } = yield* edge.log("metrics endpoint")
  const text = yield* Effect.promise(async () => (await fetch(`http://${String(address)}${String(path)}`)).text())
  const page = parse(text)
  return (reason: string): number => page.value("edgeproxy_rejected_total", { reason }) ?? -1
})

const metrics = { METRICS_ENABLED: "true", METRICS_LISTEN_ADDR: "127.0.0.1:0" }

for (const TRANSPORT of engines) {
  describe(`who is let in, engine ${TRANSPORT}`, () => {
    it.live("H4: one client floods, and another is served without a failure", () =>
      Effect.gen(function* () {
        const { rows } = yield* greeting
        const edge = yield* startWith(rows, {
          ...metrics,
          TRANSPORT,
          RATE_LIMIT_ENABLED: "true",
          RATE_LIMIT_BURST: "50",
          RATE_LIMIT_MAX_REQUESTS: "1",
          RATE_LIMIT_WINDOW_SECS: "3600"
        })
        const flood = Effect.forEach(upTo(600), () => isServed(edge, brazilian), { concurrency: 40 })
        const other = Effect.forEach(upTo(45), () => isServed(edge, american))
        const [floods, others] = yield* Effect.all([flood, other], { concurrency: 2 })
        assert.strictEqual(floods.filter(Boolean).length, 50)
        assert.deepStrictEqual(
          others,
          upTo(45).map(() => true)
        )
        assert.strictEqual((yield* rejections(edge))("rate-limit"), 550)

        yield* edge.log("connections refused")
        // 95 served ones have a line each; of the refused ones at most ten a second.
        yield* edge.entryCount(105)
        yield* edge.stop
        const lines = edge.entries.filter(({ end_cause }) => end_cause === "rate-limit")
        assert.strictEqual(edge.entries.length - lines.length, 95)
        assert.isBelow(lines.length, 150)
        for (const line of lines) {
          assert.strictEqual(why(line), "proxy pre-route rate-limit")
          assert.deepStrictEqual([line.client, line.backend, line.attempts], [brazilian, null, 0])
        }
      })
    )

    it.live("A1: limits IPv6 clients by their /64", () =>
      Effect.gen(function* () {
        const { rows } = yield* greeting
        const edge = yield* startWith(rows, {
          TRANSPORT,
          LISTEN_ADDR: "[::1]:0",
          RATE_LIMIT_ENABLED: "true",
          RATE_LIMIT_BURST: "3",
          RATE_LIMIT_WINDOW_SECS: "3600"
        })
        const outcomes = yield* Effect.forEach(upTo(5), () => isServed(edge, "::1"))
        assert.deepStrictEqual(outcomes, [true, true, true, false, false])
        const refused = yield* edge.entry(({ end_cause }) => end_cause === "rate-limit")
        assert.strictEqual(refused.client, "::1")
      })
    )

    it.live("a client has no more connections than one may, and gets its places back", () =>
      Effect.gen(function* () {
        const { rows, server } = yield* greeting
        const edge = yield* startWith(rows, { TRANSPORT, MAX_CONNECTIONS_PER_CLIENT: "3" })
        const peers = yield* Effect.forEach(upTo(3), () => served(edge.address, { from: brazilian }))
        assert.notInclude(peers, undefined)
        assert.strictEqual(yield* refusalOf(edge.address, { from: brazilian }), "ECONNRESET")
        assert.isTrue(yield* isServed(edge, american))
        const refused = yield* edge.entry(({ end_phase }) => end_phase === "pre-route")
        assert.strictEqual(why(refused), "proxy pre-route client-limit")
        for (const peer of peers) if (peer !== undefined) yield* peer.reset
        yield* eventually("all places free", () => server.open() === 0)
        yield* edge.entryCount(5)
        assert.isTrue(yield* isServed(edge, brazilian))
      })
    )

    it.live("networks and countries that may not connect are reset before anything is dialled", () =>
      Effect.gen(function* () {
        const { rows, server } = yield* greeting
        const edge = yield* startWith(rows, {
          ...metrics,
          TRANSPORT,
          ALLOW_CIDRS: "127.0.0.0/13",
          DENY_CIDRS: "127.3.0.0/17,2001:db8::/32",
          DENY_COUNTRIES: "BR"
        })
        for (const from of [brazilian, german, unknown]) {
          assert.strictEqual(yield* refusalOf(edge.address, { from }), "ECONNRESET", from)
          const line = yield* edge.entry(({ client }) => client === from)
          assert.strictEqual(why(line), "proxy pre-route denied")
        }
        assert.isTrue(yield* isServed(edge, american))
        // The other half of the denied network's country is nobody's business.
        assert.isTrue(yield* isServed(edge, "127.3.128.1"))
        assert.lengthOf(server.peers, 2)
        const api = yield* apiOf(edge)
        const refusals = yield* Effect.forEach([brazilian, german, unknown, american], (ip) =>
          Effect.map(api.call("GET", `/api/v1/explain?ip=${ip}`), ({ body }) =>
            Reflect.get(Object(body["client"]), "refused")
          )
        )
        assert.deepStrictEqual(refusals, ["denied-country", "denied-network", "denied-network", null])
        const count = yield* rejections(edge)
        assert.deepStrictEqual([count("denied-network"), count("denied-country")], [2, 1])
      })
    )

    it.live("C5: an overloaded proxy takes nobody, says so, and can be ended", () =>
      Effect.gen(function* () {
        const { rows, server } = yield* greeting
        const edge = yield* startWith(rows, { TRANSPORT, OVERLOAD_MEMORY: "0.0001" })
        const overloaded = yield* edge.log("overloaded: nobody is accepted")
        assert.strictEqual(overloaded["resource"], "memory")
        const api = yield* apiOf(edge)
        const ready = api.until("/ready", ({ status }) => status === 503)
        if (TRANSPORT === "node") {
          assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
          assert.deepStrictEqual((yield* ready).body["reasons"], ["accepting-paused"])
        } else {
          const waiting = yield* connect(edge.address)
          assert.deepStrictEqual((yield* ready).body["reasons"], ["accepting-paused"])
          assert.deepStrictEqual([waiting.closed(), waiting.received(), server.open()], [undefined, 0, 0])
          // S1: the kernel has it, so it is served before the listener closes.
          edge.signal("SIGTERM")
          yield* waiting.awaitText("a\n")
          yield* waiting.finish
        }
        yield* api.until("/health", ({ status }) => status === 200)
        assert.strictEqual((yield* edge.stop).code, 0)
      })
    )
  })
}
