import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Row, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { greeted, refusalOf, served, startWith, why } from "./setup.ts"

const greeting = Effect.fnUntraced(function* (id: string, more?: Partial<Row>) {
  return rowOf(id, yield* serve({ onPeer: greet(id) }), more)
})

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

describe("routing", () => {
  it.live("keeps a client on its backend, and spreads clients", () =>
    Effect.gen(function* () {
      const rows = yield* Effect.forEach(["a", "b", "c"], (id) => greeting(id, { country: "BR" }))
      const edge = yield* startWith(rows)
      const chosen = new Set<string>()
      for (const host of upTo(30)) {
        const from = `127.1.7.${host + 1}`
        const first = yield* Effect.scoped(greeted(edge.address, { from }))
        for (const _ of upTo(3)) {
          const again = yield* Effect.scoped(greeted(edge.address, { from }))
          assert.strictEqual(again.name, first.name)
        }
        chosen.add(first.name)
      }
      assert.deepStrictEqual([...chosen].sort(), ["a", "b", "c"])
      const entries = yield* edge.entryCount(120)
      const ofFirst = entries.filter(({ client }) => client === "127.1.7.1").map(({ affinity }) => affinity)
      assert.sameMembers(ofFirst, ["new", "hit", "hit", "hit"])
      assert.isTrue(
        entries.every(
          ({ country, pop, region, tier }) => [country, pop, region, tier].join() === ["BR", "test-pop", "sa", 0].join()
        )
      )
    })
  )

  it.live("a client's binding ends with its time", () =>
    Effect.gen(function* () {
      const rows = yield* Effect.forEach(["a", "b"], (id) => greeting(id))
      const edge = yield* startWith(rows, { BINDING_TTL_SECS: "0.3", BINDING_GC_INTERVAL_SECS: "3600" })
      yield* Effect.scoped(greeted(edge.address))
      yield* edge.entryCount(1)
      yield* Effect.sleep(500)
      yield* Effect.scoped(greeted(edge.address))
      const [, second] = yield* edge.entryCount(2)
      assert.strictEqual(second?.affinity, "new")
    })
  )

  it.live("prefers the client's country, then its region, then the POP's region, then any", () =>
    Effect.gen(function* () {
      const rows = [
        yield* greeting("br", { region: "sa", country: "BR" }),
        yield* greeting("ar", { region: "sa", country: "AR" }),
        yield* greeting("fr", { region: "eu", country: "FR" }),
        yield* greeting("us", { region: "us" })
      ]
      const edge = yield* startWith(rows, { REGION: "us" })
      // Address -> the backends that may serve it, and how near they are.
      const expected = [
        ["127.1.0.1", ["br"], 0],
        ["127.6.0.1", ["ar"], 0],
        ["127.5.0.1", ["ar", "br"], 1],
        ["127.3.0.1", ["fr"], 1],
        ["127.2.0.1", ["us"], 1],
        ["127.4.0.1", ["us"], 2],
        ["127.0.0.1", ["us"], 2]
      ] as const
      for (const [from, names, tier] of expected) {
        const { name } = yield* Effect.scoped(greeted(edge.address, { from }))
        assert.oneOf(name, [...names], from)
        const entry = yield* edge.entry(({ client }) => client === from)
        assert.deepStrictEqual([entry.backend, entry.tier], [name, tier], from)
      }
      const unknown = yield* edge.entry(({ client }) => client === "127.0.0.1")
      assert.deepStrictEqual([unknown.country, unknown.region], [null, null])
    })
  )

  it.live("takes any other region when there is nothing nearer", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([yield* greeting("fr", { region: "eu", country: "FR" })], { REGION: "ap" })
      const { name } = yield* Effect.scoped(greeted(edge.address, { from: "127.2.0.9" }))
      const entry = yield* edge.entry(({ client }) => client === "127.2.0.9")
      assert.deepStrictEqual([name, entry.tier], ["fr", 3])
    })
  )

  it.live("a listener bound to an app knows that app only", () =>
    Effect.gen(function* () {
      const rows = yield* Effect.forEach(["web", "pg"], (app) => greeting(app, { app }))
      const edge = yield* startWith(rows, { LISTEN_ADDR: "127.0.0.1:0=web,127.0.0.1:0=pg,127.0.0.1:0=none" })
      const [web, pg, none] = edge.addresses
      assert.isDefined(web)
      assert.isDefined(pg)
      assert.isDefined(none)
      for (const host of upTo(10)) {
        const from = `127.1.9.${host + 1}`
        assert.strictEqual((yield* Effect.scoped(greeted(web, { from }))).name, "web")
        assert.strictEqual((yield* Effect.scoped(greeted(pg, { from }))).name, "pg")
      }
      assert.strictEqual(yield* refusalOf(none, { from: "127.1.9.99" }), "ECONNRESET")
      const refused = yield* edge.entry(({ app }) => app === "none")
      assert.deepStrictEqual([why(refused), refused.backend, refused.attempts], ["proxy route no-backend", null, 0])
      const served = yield* edge.entry(({ app }) => app === "pg")
      assert.strictEqual(served.listener, `127.0.0.1:${pg.port}`)
    })
  )

  it.live("never more than the hard limit on a backend, also when 500 clients come at once", () =>
    Effect.gen(function* () {
      const servers = yield* Effect.forEach(["a", "b", "c"], (id) =>
        Effect.map(serve({ onPeer: greet(id) }), (server) => ({ id, server }))
      )
      const limits = { soft_limit: 10, hard_limit: 20 }
      const edge = yield* startWith(servers.map(({ id, server }) => rowOf(id, server, limits)))
      const from = (index: number): string => `127.1.${1 + Math.floor(index / 200)}.${1 + (index % 200)}`
      const all = yield* Effect.forEach(upTo(500), (index) => served(edge.address, { from: from(index) }), {
        concurrency: "unbounded"
      })
      const clients = all.filter((peer) => peer !== undefined)
      assert.lengthOf(clients, 60)
      assert.deepStrictEqual(
        servers.map(({ server }) => [server.most(), server.open()]),
        servers.map(() => [20, 20])
      )
      const refused = yield* edge.entryCount(440)
      assert.isTrue(refused.every((entry) => why(entry) === "proxy route no-capacity"))

      // A place that is given back is taken again.
      const [left] = clients
      assert.isDefined(left)
      yield* left.finish
      yield* edge.entryCount(441)
      yield* greeted(edge.address, { from: "127.1.200.1" })
      assert.strictEqual(yield* refusalOf(edge.address, { from: "127.1.200.2" }), "ECONNRESET")
      assert.isTrue(servers.every(({ server }) => server.most() <= 20))
    })
  )
})
