import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { promises as dns } from "node:dns"
import * as NodeHostResolver from "../../layers/dns-resolver/NodeHostResolver.ts"
import { type HostAnswer, HostResolver } from "../../src/routing/HostResolver.ts"
import { type Entry, nameServer } from "../support/nameServer.ts"

/** Asks a name server that has these names. */
const resolved = (names: Readonly<Record<string, Entry>>, host: string, timeoutMs = 2_000) =>
  Effect.gen(function* () {
    const server = yield* nameServer
    for (const [name, entry] of Object.entries(names)) server.names.set(name, entry)
    return yield* HostResolver.use(({ resolve }) => Effect.result(resolve(host))).pipe(
      Effect.provide(NodeHostResolver.layer({ servers: [server.address], timeoutMs }))
    )
  })

const answerOf = (result: Result.Result<HostAnswer, unknown>): HostAnswer => {
  if (Result.isFailure(result)) throw new Error(String(result.failure))
  return result.success
}

const texts = ({ addresses }: HostAnswer) =>
  addresses.map(({ address, port, share }) => [address, ...(port === undefined ? [] : [port, share])].join(" ")).sort()

describe("the system's name servers", () => {
  it.live("are those that the system has now, not those of the start", () =>
    Effect.gen(function* () {
      const [before, after] = [yield* nameServer, yield* nameServer]
      before.names.set("db", { a: ["10.0.0.1"] })
      after.names.set("db", { a: ["10.0.0.2"] })
      let configured = before
      const system = () => {
        const resolver = new dns.Resolver()
        resolver.setServers([configured.address])
        return resolver
      }
      yield* Effect.gen(function* () {
        const { resolve } = yield* HostResolver
        assert.deepStrictEqual(texts(yield* resolve("db")), ["10.0.0.1"])
        configured = after
        assert.deepStrictEqual(texts(yield* resolve("db")), ["10.0.0.2"])
      }).pipe(Effect.provide(NodeHostResolver.layer({ servers: [], system, renewMs: 0 })))
    })
  )
})

describe("a host that is looked up", () => {
  it.live("has the addresses of both families, and the shortest TTL", () =>
    Effect.gen(function* () {
      const db = { a: ["10.0.0.1", "10.0.0.2"], aaaa: ["fd00::1", "::ffff:10.0.0.3"], ttl: 77 }
      const answer = answerOf(yield* resolved({ "db.internal": db }, "db.internal"))
      assert.deepStrictEqual(texts(answer), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"])
      assert.deepInclude(answer, { ttlSecs: 77, unanswered: [] })
    })
  )

  it.live("may have one family only", () =>
    Effect.gen(function* () {
      const answer = answerOf(yield* resolved({ six: { aaaa: ["fd00::1"] } }, "six"))
      assert.deepStrictEqual([texts(answer), answer.unanswered], [["fd00::1"], []])
    })
  )

  it.live("is found in part when a family can't be asked for", () =>
    Effect.gen(function* () {
      const db = { a: ["10.0.0.1"], aaaaFails: "SERVFAIL" } as const
      const answer = answerOf(yield* resolved({ "db.internal": db }, "db.internal"))
      assert.deepStrictEqual([texts(answer), answer.unanswered], [["10.0.0.1"], [{ family: 6 }]])
    })
  )

  it.live("is a service: ports and shares of those with the best priority", () =>
    Effect.gen(function* () {
      const names = {
        "_pg._tcp.internal": {
          srv: [
            [1, 30, 5_432, "a.internal"],
            [1, 10, 5_433, "b.internal"],
            [2, 10, 5_434, "c.internal"]
          ]
        },
        "a.internal": { a: ["10.0.0.1"], aaaa: ["fd00::1"], ttl: 60 },
        "b.internal": { a: ["10.0.0.2"], ttl: 20 },
        "c.internal": { a: ["10.0.0.3"], ttl: 10 }
      } as const
      const answer = answerOf(yield* resolved(names, "_pg._tcp.internal"))
      assert.deepStrictEqual(texts(answer), ["10.0.0.1 5432 1.5", "10.0.0.2 5433 0.5", "fd00::1 5432 1.5"])
      assert.deepInclude(answer, { ttlSecs: 20, unanswered: [] })
    })
  )

  it.live("is a service of which some targets can't be found", () =>
    Effect.gen(function* () {
      const names = {
        "_pg._tcp.internal": {
          srv: [
            [1, 0, 5_432, "a.internal"],
            [1, 0, 5_433, "gone.internal"],
            [1, 0, 5_434, "half.internal"]
          ]
        },
        "a.internal": { a: ["10.0.0.1"] },
        "half.internal": { a: ["10.0.0.2"], aaaaFails: "SERVFAIL" }
      } as const
      const answer = answerOf(yield* resolved(names, "_pg._tcp.internal"))
      assert.deepStrictEqual(texts(answer), ["10.0.0.1 5432 1", "10.0.0.2 5434 1"])
      assert.deepStrictEqual(answer.unanswered, [{ port: 5_433 }, { family: 6, port: 5_434 }])
    })
  )

  it.live.each([
    ["does not exist", {}, "db.internal", "not-found"],
    ["has no address", { "db.internal": {} }, "db.internal", "not-found"],
    ["has a name server that fails", { "db.internal": { fails: "SERVFAIL" } }, "db.internal", "failed"],
    ["has a name server that refuses", { "db.internal": { fails: "REFUSED" } }, "db.internal", "failed"],
    ["has a name server that is silent", { "db.internal": { fails: "silent" } }, "db.internal", "timeout"],
    ["is a service without targets", { "_pg._tcp.internal": {} }, "_pg._tcp.internal", "not-found"],
    [
      "is a service that is not offered",
      { "_pg._tcp.internal": { srv: [[0, 0, 0, ""]] } },
      "_pg._tcp.internal",
      "not-found"
    ]
  ] as const)("that %s leads nowhere", ([, names, host, reason]) =>
    Effect.gen(function* () {
      const result = yield* resolved(names, host, 100)
      assert.strictEqual(Result.isFailure(result) ? result.failure.reason : "found", reason)
    })
  )
})
