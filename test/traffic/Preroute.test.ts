import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as clientHello from "../support/clientHello.ts"
import { backend } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

const routes = [
  ["db.example.com", "pg"],
  ["*.shop.example.com", "shop"]
] as const

/** A passthrough listener and the backends of three apps; `web` is the listener's own. */
const passthrough = Effect.fnUntraced(function* (
  unknownSni: "default" | "refuse" = "default",
  app: string | undefined = "web"
) {
  const rig = yield* trafficRig.make({
    listeners: [{ address: { address: "0.0.0.0", port: 8_443 }, app, kind: "tls-passthrough" }],
    preroute: { sniRoutes: routes, unknownSni }
  })
  for (const [index, name] of ["web", "pg", "shop"].entries()) {
    rig.upstreams.put(backend({ id: name, app: name, address: `10.0.0.${index + 1}` }))
  }
  const visit = Effect.fnUntraced(function* (hello: Uint8Array) {
    const id = rig.transport.accept()
    yield* settled
    rig.transport.say(id, hello)
    yield* settled
    return id
  })
  const routed = () => rig.transport.dials.map(({ options }) => options.address.address)
  const causes = () => rig.transport.aborts.map(({ how, why }) => `${how} ${why.by} ${why.phase} ${why.cause}`)
  return { ...rig, causes, routed, visit }
})

describe("TLS passthrough", () => {
  it.effect("routes by server name, and leaves every byte to the backend", () =>
    Effect.gen(function* () {
      const { connections, entries, routed, transport, visit } = yield* passthrough()
      const hello = clientHello.hello("DB.example.com", "postgresql")
      const id = yield* visit(hello)
      assert.deepStrictEqual(routed(), ["10.0.0.2"])
      assert.deepStrictEqual(transport.left(id), hello)
      assert.deepStrictEqual([connections.get(id)?.sni, connections.get(id)?.app], ["db.example.com", "pg"])
      transport.dial().succeed()
      yield* settled
      transport.end(id)
      assert.deepStrictEqual([entries[0]?.sni, entries[0]?.app], ["db.example.com", "pg"])
      yield* visit(clientHello.hello("a.b.shop.example.com"))
      assert.deepStrictEqual(routed(), ["10.0.0.2", "10.0.0.3"])
    })
  )

  it.effect("dials nobody before the hello is complete", () =>
    Effect.gen(function* () {
      const { routed, transport, visit } = yield* passthrough()
      const hello = clientHello.hello("db.example.com")
      const id = yield* visit(hello.subarray(0, 40))
      assert.deepStrictEqual(routed(), [])
      transport.say(id, hello.subarray(40))
      yield* settled
      assert.deepStrictEqual(routed(), ["10.0.0.2"])
    })
  )

  it.effect("takes the listener's app for names without a route, and for none", () =>
    Effect.gen(function* () {
      const { routed, visit } = yield* passthrough("default")
      yield* visit(clientHello.hello("other.example.com"))
      yield* visit(clientHello.records(clientHello.message({})))
      yield* visit(clientHello.hello("shop.example.com"))
      assert.deepStrictEqual(routed(), ["10.0.0.1", "10.0.0.1", "10.0.0.1"])
    })
  )

  it.effect("or refuses them", () =>
    Effect.gen(function* () {
      const { causes, entries, routed, visit } = yield* passthrough("refuse")
      yield* visit(clientHello.hello("other.example.com"))
      yield* visit(clientHello.records(clientHello.message({})))
      assert.deepStrictEqual(routed(), [])
      assert.deepStrictEqual(causes(), [
        "name-alert proxy pre-route unknown-name",
        "name-alert proxy pre-route unknown-name"
      ])
      assert.deepStrictEqual(
        entries.map(({ end_cause, sni }) => [end_cause, sni]),
        [
          ["unknown-name", "other.example.com"],
          ["unknown-name", null]
        ]
      )
    })
  )

  it.effect("ends who speaks no TLS, and gives everything back", () =>
    Effect.gen(function* () {
      const { admission, causes, clients, connections, entries, transport, visit } = yield* passthrough()
      yield* visit(Buffer.from("GET / HTTP/1.1\r\n\r\n"))
      const leaving = yield* visit(clientHello.hello("db.example.com").subarray(0, 9))
      transport.finish(leaving)
      yield* settled
      assert.deepStrictEqual(causes(), ["rst proxy pre-route bad-hello", "rst proxy pre-route bad-hello"])
      const silent = yield* visit(new Uint8Array(0))
      transport.end(silent, { by: "proxy", phase: "pre-route", cause: "preroute-timeout" })
      yield* settled
      assert.deepStrictEqual(
        entries.map(({ backend: to, end_cause }) => [end_cause, to]),
        [
          ["bad-hello", null],
          ["bad-hello", null],
          ["preroute-timeout", null]
        ]
      )
      assert.deepStrictEqual([connections.size(), admission.active(), clients.clients()], [0, 0, 0])
    })
  )
})
