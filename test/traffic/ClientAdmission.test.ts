import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as TestClock from "effect/testing/TestClock"
import { client, country, geoOf } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

const networks = (...texts: ReadonlyArray<string>) => texts.map((text) => Result.getOrThrow(IpNetwork.fromString(text)))

const rate = { burst: 3, perMs: 0.001 }

/** How the proxy answered so many clients of an address at once: who was let in, and why the others were not. */
const outcomes = (rig: trafficRig.Rig, address: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, () => {
    const id = rig.transport.accept(address)
    const abort = rig.transport.aborts.find((each) => each.id === id)
    return abort === undefined ? "in" : `${abort.how} ${abort.why.by} ${abort.why.phase} ${abort.why.cause}`
  })

const refusedFor = (cause: string): string => `rst proxy pre-route ${cause}`

const rejections = Effect.fnUntraced(function* (rig: trafficRig.Rig) {
  const page = yield* rig.scrape
  const reasons = ["limit", "overload", "denied-network", "denied-country", "client-limit", "rate-limit", "no-address"]
  return Object.fromEntries(
    reasons.flatMap((reason) => {
      const count = page.value("edgeproxy_rejected_total", { reason })
      return count === 0 ? [] : [[reason, count]]
    })
  )
})

describe("who is let in", () => {
  it.effect("is nobody from a denied network or country, and they are neither routed nor dialled", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, {
        clients: { deny: networks("203.0.113.0/25", "2001:db8::/32"), denyCountries: [country("BR")] }
      })
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), [refusedFor("denied")])
      assert.deepStrictEqual(outcomes(rig, "2001:db8:7::1", 1), [refusedFor("denied")])
      assert.deepStrictEqual(outcomes(rig, trafficRig.brazilian, 1), [refusedFor("denied")])
      assert.deepStrictEqual(outcomes(rig, "203.0.113.128", 1), ["in"])
      yield* settled
      assert.strictEqual(rig.transport.dials.length, 1)
      assert.deepStrictEqual([rig.connections.size(), rig.admission.active(), rig.clients.clients()], [1, 1, 1])
      assert.deepStrictEqual(yield* rejections(rig), { "denied-network": 2, "denied-country": 1 })
      const page = yield* rig.scrape
      assert.strictEqual(page.sum("edgeproxy_connections_total"), 1)
      assert.strictEqual(page.sum("edgeproxy_terminations_total"), 0)
    })
  )

  it.effect("C6: who is not has a line that says why", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { clients: { denyCountries: [country("BR")] } })
      yield* TestClock.adjust(2_000)
      rig.transport.accept(trafficRig.brazilian)
      assert.deepStrictEqual(rig.entries, [
        {
          ts: "1970-01-01T00:00:02.000Z",
          conn: "0-1",
          pop: "gru1",
          client: trafficRig.brazilian,
          client_port: 50_000,
          peer: null,
          country: "BR",
          region: "sa",
          app: "",
          listener: "0.0.0.0:8080",
          sni: null,
          backend: null,
          backend_addr: null,
          tier: null,
          affinity: null,
          attempts: 0,
          connect_ms: null,
          duration_ms: 0,
          bytes_in: 0,
          bytes_out: 0,
          end_by: "proxy",
          end_phase: "pre-route",
          end_cause: "denied"
        }
      ])
    })
  )

  it.effect("H4: is a client within its rate; one that is not takes nothing from others", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { clients: { rate } })
      const limited = refusedFor("rate-limit")
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 5), ["in", "in", "in", limited, limited])
      assert.deepStrictEqual(outcomes(rig, "203.0.113.8", 1), ["in"])
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), [limited])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 2), ["in", limited])
      assert.deepStrictEqual(yield* rejections(rig), { "rate-limit": 4 })
    })
  )

  it.effect("A1: is an IPv6 /64 within the rate and the number of one client", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { clients: { rate, maxConnections: 2 } })
      assert.deepStrictEqual(outcomes(rig, "2001:db8:1:2::1", 1), ["in"])
      assert.deepStrictEqual(outcomes(rig, "2001:db8:1:2:3::1", 1), ["in"])
      assert.deepStrictEqual(outcomes(rig, "2001:db8:1:2:4::1", 1), [refusedFor("client-limit")])
      assert.deepStrictEqual(outcomes(rig, "2001:db8:1:3::1", 1), ["in"])
      assert.strictEqual(rig.clients.clients(), 2)
    })
  )

  it.effect("is a client with fewer connections than one may have", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { clients: { maxConnections: 2 } })
      const full = refusedFor("client-limit")
      const first = rig.transport.accept("203.0.113.7")
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 3), ["in", full, full])
      assert.deepStrictEqual(outcomes(rig, "203.0.113.8", 3), ["in", "in", full])
      yield* settled
      rig.transport.end(first)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 2), ["in", full])
      // Those that were refused end too, and must not be counted as having left.
      yield* settled
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), [full])
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_clients_active"), 2)
    })
  )

  it.effect("is told without being changed by the question", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, {
        clients: { rate, maxConnections: 3, deny: networks("198.51.100.0/24") }
      })
      const ask = (address: string) => rig.clients.refusalOf(client(address), geoOf())
      assert.strictEqual(ask("198.51.100.9"), "denied-network")
      for (let time = 0; time < 10; time++) assert.isUndefined(ask("203.0.113.7"))
      const [first = 0] = [1, 2].map(() => rig.transport.accept("203.0.113.7"))
      rig.transport.accept("203.0.113.7")
      assert.strictEqual(ask("203.0.113.7"), "client-limit")
      rig.transport.end(first)
      assert.strictEqual(ask("203.0.113.7"), "rate-limit")
      yield* TestClock.adjust(1_000)
      assert.isUndefined(ask("203.0.113.7"))
    })
  )

  it.effect("changes live; open connections stay, and count", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 3), ["in", "in", "in"])
      const rules = { ...trafficRig.openRules, maxConnections: 4 }
      rig.clients.setRules(rules)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 2), ["in", refusedFor("client-limit")])
      rig.clients.setRules({ ...rules, deny: networks("203.0.113.7/32") })
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), [refusedFor("denied")])
      rig.clients.setRules({ ...trafficRig.openRules, rate: { burst: 2, perMs: 1e-6 } })
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 3), ["in", "in", refusedFor("rate-limit")])
      // Turned off and on again, it remembers.
      rig.clients.setRules(trafficRig.openRules)
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), ["in"])
      rig.clients.setRules({ ...trafficRig.openRules, rate: { burst: 2, perMs: 1e-6 } })
      assert.deepStrictEqual(outcomes(rig, "203.0.113.7", 1), [refusedFor("rate-limit")])
      assert.strictEqual(rig.connections.size(), 7)
    })
  )
})

describe("a flood of refusals", () => {
  /** The diagnostic log, message first. */
  const logged = (lines: Array<ReadonlyArray<unknown>>) =>
    Logger.layer([
      Logger.make<unknown, void>(({ message }) => void lines.push(Array.isArray(message) ? message : [message]))
    ])

  it.effect("leaves ten lines a second of each reason, and all of them counted", () => {
    const lines: Array<ReadonlyArray<unknown>> = []
    return Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, {
        clients: { deny: networks("203.0.113.0/24"), denyCountries: [country("BR")] }
      })
      for (let second = 0; second < 3; second++) {
        for (let index = 0; index < 1_000; index++) rig.transport.accept("203.0.113.7")
        yield* TestClock.adjust(1_000)
      }
      // The second and third time, what has come back in a second.
      assert.strictEqual(rig.entries.length, 30)
      rig.transport.accept(trafficRig.brazilian)
      assert.strictEqual(rig.entries.length, 31)
      assert.deepStrictEqual(yield* rejections(rig), { "denied-network": 3_000, "denied-country": 1 })

      const told = () => lines.filter(([message]) => message === "connections refused").map(([, fields]) => fields)
      assert.deepStrictEqual(told(), [{ refused: 1, reasons: { "denied-network": 1 } }])
      yield* TestClock.adjust(10_000)
      const rest = { refused: 3_000, reasons: { "denied-network": 2_999, "denied-country": 1 } }
      assert.deepStrictEqual(told().slice(1), [rest])
      // It is over: nothing more is said, until there is more.
      yield* TestClock.adjust(60_000)
      assert.strictEqual(told().length, 2)
      rig.transport.accept("203.0.113.7")
      yield* settled
      assert.deepStrictEqual(told().slice(2), [{ refused: 1, reasons: { "denied-network": 1 } }])
    }).pipe(Effect.provide(logged(lines)))
  })
})
