import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as IpNetwork from "effect/net/IpNetwork"
import { parse, type ProxyHeader } from "../../src/domain/ProxyProtocol.ts"
import type { ProxyIn } from "../../src/traffic/TrafficListener.ts"
import { backend } from "../support/fixtures.ts"
import * as clientHello from "../support/clientHello.ts"
import { tlv, v1, v2 } from "../support/proxyHeader.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

/** A load balancer whose headers are believed, and somebody else. */
const peer = "10.9.0.1"
const stranger = "203.0.113.66"

const fromBrazil = v1(`TCP4 ${trafficRig.brazilian} 198.51.100.9 4711 443`)
const local = v2({ command: 0x20, family: 0, addresses: [] })

const make = Effect.fnUntraced(function* (proxyIn: ProxyIn, options: trafficRig.TrafficRigOptions = {}) {
  const rig = yield* trafficRig.withBackends(1, {
    listeners: [{ address: { address: "0.0.0.0", port: 8_080 }, app: undefined, proxyIn }],
    trusted: [Result.getOrThrow(IpNetwork.fromString("10.9.0.0/16"))],
    ...options
  })
  const { transport } = rig
  const visit = Effect.fnUntraced(function* (bytes: Uint8Array, from: string = peer) {
    const id = transport.accept(from)
    yield* settled
    if (bytes.length > 0) transport.say(id, bytes)
    yield* settled
    return id
  })
  const causes = () => transport.aborts.map(({ how, why }) => `${how} ${why.by} ${why.phase} ${why.cause}`)
  return { ...rig, causes, visit }
})

describe("a PROXY header of a trusted peer", () => {
  for (const mode of ["optional", "required"] as const) {
    it.effect(`names the client whom geo, affinity, limits and the log mean (${mode})`, () =>
      Effect.gen(function* () {
        const { bound, clients, connections, entries, transport, visit } = yield* make(mode)
        const id = yield* visit(Buffer.concat([fromBrazil, Buffer.from("GET /")]))
        assert.strictEqual(transport.dials.length, 1)
        assert.strictEqual(Buffer.from(transport.left(id) ?? []).toString(), "GET /")
        const record = connections.get(id)
        assert.deepStrictEqual([record?.client.address, record?.geo.country], [trafficRig.brazilian, "BR"])
        transport.dial().succeed()
        yield* settled
        assert.deepStrictEqual(bound(trafficRig.brazilian), ["b1", 1])
        assert.isUndefined(bound(peer))
        assert.strictEqual(clients.clients(), 1)
        transport.end(id)
        assert.strictEqual(clients.clients(), 0)
        const { client, client_port, country, peer: by } = entries[0] ?? {}
        assert.deepStrictEqual([client, client_port, country, by], [trafficRig.brazilian, 4711, "BR", `${peer}:50000`])
      })
    )

    it.effect(`may come in pieces (${mode})`, () =>
      Effect.gen(function* () {
        const { connections, transport, visit } = yield* make(mode)
        const id = yield* visit(fromBrazil.subarray(0, 12))
        // It has begun as nothing else can, so that it is not silence that lets it pass for none.
        yield* TestClock.adjust(2_000)
        assert.strictEqual(transport.dials.length, 0)
        transport.say(id, fromBrazil.subarray(12, 20))
        yield* TestClock.adjust(2_000)
        transport.say(id, fromBrazil.subarray(20))
        yield* settled
        assert.strictEqual(transport.dials.length, 1)
        assert.strictEqual(connections.get(id)?.client.address, trafficRig.brazilian)
      })
    )

    it.effect(`that is broken is refused (${mode})`, () =>
      Effect.gen(function* () {
        const { admission, causes, clients, connections, transport, visit } = yield* make(mode)
        yield* visit(v1("TCP4 1.2.3.4"))
        yield* visit(v2({ rest: tlv(3, [0, 0, 0, 1]) }))
        const leaving = yield* visit(fromBrazil.subarray(0, 20))
        transport.finish(leaving)
        yield* settled
        assert.deepStrictEqual(causes(), Array(3).fill("rst proxy pre-route bad-proxy-header"))
        assert.deepStrictEqual([transport.dials.length, connections.size(), admission.active()], [0, 0, 0])
        assert.strictEqual(clients.clients(), 0)
      })
    )

    it.effect(`may say that the peer is meant, whom no limit of clients holds (${mode})`, () =>
      Effect.gen(function* () {
        const { entries, transport, visit } = yield* make(mode, {
          clients: { maxConnections: 1, rate: { burst: 1, perMs: 0 } }
        })
        for (const header of [local, v1("UNKNOWN"), local]) {
          const id = yield* visit(header)
          assert.strictEqual(transport.left(id)?.length, 0)
        }
        assert.strictEqual(transport.dials.length, 3)
        for (const { id } of transport.dials) transport.end(id)
        assert.deepStrictEqual(
          entries.map(({ client, peer: by }) => `${client} ${by}`),
          Array(3).fill(`${peer} null`)
        )
      })
    )

    it.effect(`names clients who are limited and denied as such, while the peer is not (${mode})`, () =>
      Effect.gen(function* () {
        const { admission, causes, clients, entries, scrape, transport, visit } = yield* make(mode, {
          clients: { maxConnections: 1, denyCountries: [] }
        })
        const first = yield* visit(fromBrazil)
        yield* visit(fromBrazil)
        yield* visit(v1("TCP4 192.0.2.8 198.51.100.9 1 2"))
        assert.deepStrictEqual(causes(), ["rst proxy pre-route client-limit"])
        assert.deepStrictEqual([transport.dials.length, admission.active(), clients.clients()], [2, 2, 2])
        assert.deepStrictEqual(
          entries.map(({ client, end_cause, peer: by }) => [client, end_cause, by]),
          [[trafficRig.brazilian, "client-limit", `${peer}:50000`]]
        )
        assert.strictEqual((yield* scrape).value("edgeproxy_rejected_total", { reason: "client-limit" }), 1)
        transport.end(first)
        yield* visit(fromBrazil)
        assert.strictEqual(transport.dials.length, 3)
      })
    )
  }
})

describe("without a header", () => {
  it.effect("required: nobody is served, not even a trusted peer", () =>
    Effect.gen(function* () {
      const { causes, transport, visit } = yield* make("required")
      yield* visit(Buffer.from("GET / HTTP/1.1\r\n"))
      assert.deepStrictEqual(causes(), ["rst proxy pre-route bad-proxy-header"])
      const silent = yield* visit(new Uint8Array(0))
      yield* TestClock.adjust(4_000)
      assert.strictEqual(transport.dials.length, 0)
      transport.finish(silent)
      yield* settled
      assert.deepStrictEqual(causes()[1], "fin client pre-route fin")
    })
  )

  it.effect("optional: a trusted peer is the client itself, at once when it says something else", () =>
    Effect.gen(function* () {
      const { clients, connections, transport, visit } = yield* make("optional")
      const id = yield* visit(Buffer.from("GET /"))
      assert.strictEqual(transport.dials.length, 1)
      assert.deepStrictEqual([connections.get(id)?.client.address, clients.clients()], [peer, 1])
      assert.strictEqual(transport.left(id)?.length, 5)
      // It begins like one and stops there.
      yield* visit(Buffer.from("PRO"))
      yield* TestClock.adjust(299)
      assert.strictEqual(transport.dials.length, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(transport.dials.length, 2)
    })
  )

  it.effect("optional: after 300 ms of silence", () =>
    Effect.gen(function* () {
      const { connections, transport, visit } = yield* make("optional")
      const id = yield* visit(new Uint8Array(0))
      yield* TestClock.adjust(299)
      assert.strictEqual(transport.dials.length, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(transport.dials.length, 1)
      assert.strictEqual(connections.get(id)?.client.address, peer)
    })
  )

  it.effect("optional: a client that has ended meanwhile is not dialled for", () =>
    Effect.gen(function* () {
      const { admission, transport, visit } = yield* make("optional")
      const id = yield* visit(new Uint8Array(0))
      transport.end(id, { by: "client", phase: "pre-route", cause: "rst" })
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([transport.dials.length, admission.active()], [0, 0])
    })
  )
})

describe("a peer that is not trusted", () => {
  it.effect("is refused where a header is required, whatever it says", () =>
    Effect.gen(function* () {
      const { admission, causes, entries, scrape, visit } = yield* make("required")
      yield* visit(fromBrazil, stranger)
      yield* visit(fromBrazil, `::ffff:${stranger}`)
      assert.deepStrictEqual(causes(), Array(2).fill("rst proxy pre-route untrusted-peer"))
      assert.strictEqual(admission.active(), 0)
      assert.deepStrictEqual(
        entries.map(({ client, end_cause }) => `${client} ${end_cause}`),
        Array(2).fill(`${stranger} untrusted-peer`)
      )
      assert.strictEqual((yield* scrape).value("edgeproxy_rejected_total", { reason: "untrusted-peer" }), 2)
    })
  )

  it.effect("is a client where one is optional, that may say anything but a header", () =>
    Effect.gen(function* () {
      const { admission, causes, connections, entries, transport, visit } = yield* make("optional")
      yield* visit(fromBrazil, stranger)
      assert.deepStrictEqual(causes(), ["rst proxy pre-route untrusted-peer"])
      assert.deepStrictEqual([transport.dials.length, admission.active(), entries.length], [0, 0, 1])
      const id = yield* visit(Buffer.from("PROXIMITY"), stranger)
      assert.strictEqual(transport.dials.length, 1)
      assert.strictEqual(connections.get(id)?.client.address, stranger)
      transport.accept(stranger)
      yield* TestClock.adjust(300)
      yield* settled
      assert.strictEqual(transport.dials.length, 2)
    })
  )
})

it.effect("in front of a ClientHello, both are read", () =>
  Effect.gen(function* () {
    const { connections, transport, upstreams, visit } = yield* make("required", {
      listeners: [
        { address: { address: "0.0.0.0", port: 8_443 }, app: undefined, proxyIn: "required", kind: "tls-passthrough" }
      ],
      preroute: { sniRoutes: [["db.example.com", "pg"]], unknownSni: "refuse" }
    })
    upstreams.put(backend({ id: "p", app: "pg", address: "10.0.0.9" }))
    const hello = clientHello.hello("db.example.com")
    const id = yield* visit(Buffer.concat([fromBrazil, hello]))
    assert.strictEqual(transport.dial().options.address.address, "10.0.0.9")
    assert.deepStrictEqual(transport.left(id), Uint8Array.from(hello))
    const { client, sni } = connections.get(id) ?? {}
    assert.deepStrictEqual([client?.address, sni], [trafficRig.brazilian, "db.example.com"])
  })
)

describe("the PROXY header to backends", () => {
  const preludeOf = (rig: trafficRig.Rig): Uint8Array => rig.transport.dial().options.prelude ?? new Uint8Array(0)

  const headerOf = (rig: trafficRig.Rig): ProxyHeader => {
    const parsed = parse(preludeOf(rig))
    if (parsed._tag !== "Header") throw new Error(parsed._tag)
    assert.strictEqual(parsed.header.length, preludeOf(rig).length)
    return parsed.header
  }

  const valuesOf = ({ tlvs }: ProxyHeader): Record<string, string> =>
    Object.fromEntries(tlvs.map(({ type, value }) => [type.toString(16), Buffer.from(value).toString("latin1")]))

  it.effect("v1 has the client and the address it has connected to", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { proxyOut: "v1" })
      assert.isTrue(rig.transport.listeners[0]?.options.tellLocal)
      rig.transport.accept("::ffff:203.0.113.7", 0, { address: "::ffff:198.51.100.1", port: 443 })
      yield* settled
      assert.strictEqual(Buffer.from(preludeOf(rig)).toString(), "PROXY TCP4 203.0.113.7 198.51.100.1 50000 443\r\n")
      rig.transport.accept("2001:db8::7", 0, { address: "2001:db8::1", port: 443 })
      yield* settled
      assert.strictEqual(Buffer.from(preludeOf(rig)).toString(), "PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n")
    })
  )

  it.effect("v2 also has country, region, POP and the connection's name", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, { proxyOut: "v2" })
      const id = rig.transport.accept(trafficRig.brazilian, 0, { address: "198.51.100.1", port: 443 })
      yield* settled
      const { 3: _checksum, ...values } = valuesOf(headerOf(rig))
      assert.deepStrictEqual(values, { 5: "0-1", e0: "BR", e1: "sa", e2: "gru1", e3: "0-1" })
      rig.transport.end(id)
      assert.strictEqual(rig.entries[0]?.conn, "0-1")
      // Nothing is said that is not known.
      rig.transport.accept("203.0.113.7")
      yield* settled
      assert.deepStrictEqual(Object.keys(valuesOf(headerOf(rig))).sort(), ["3", "5", "e2", "e3"])
    })
  )

  it.effect("passes on what came with the client, the address it had connected to and its name among all proxies", () =>
    Effect.gen(function* () {
      const ssl = [1, 0, 0, 0, 0, ...tlv(0x21, "TLSv1.3")]
      const rest = [
        ...tlv(1, "h2"),
        ...tlv(2, "a.example"),
        ...tlv(5, "from-afar"),
        ...tlv(0x20, ssl),
        ...tlv(0xe0, "DE")
      ]
      const rig = yield* make("required", { proxyOut: "v2" })
      yield* rig.visit(v2({ rest }))
      const header = headerOf(rig)
      assert.deepStrictEqual([header.ends?.source.port, header.ends?.destination.port], [50_000, 443])
      const { 3: _checksum, ...values } = valuesOf(header)
      assert.deepStrictEqual(values, {
        1: "h2",
        2: "a.example",
        5: "from-afar",
        20: Buffer.from(ssl).toString("latin1"),
        e2: "gru1",
        e3: "0-1"
      })
    })
  )

  it.effect("fits, however much came with the client", () =>
    Effect.gen(function* () {
      const rig = yield* make("required", { proxyOut: "v2" })
      yield* rig.visit(v2({ rest: [...tlv(5, "u"), ...tlv(2, "a".repeat(9_000))] }))
      assert.deepStrictEqual(Object.keys(valuesOf(headerOf(rig))).sort(), ["3", "5", "e2", "e3"])
    })
  )

  it.effect("has the server name that was asked for", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1, {
        proxyOut: "v2",
        listeners: [{ address: { address: "0.0.0.0", port: 1 }, app: undefined, kind: "tls-passthrough" }]
      })
      const id = rig.transport.accept()
      yield* settled
      rig.transport.say(id, clientHello.hello("db.example.com"))
      yield* settled
      assert.strictEqual(valuesOf(headerOf(rig))["2"], "db.example.com")
    })
  )

  it.effect("is none when it is off, and nothing is asked of the engine for it", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      assert.isFalse(rig.transport.listeners[0]?.options.tellLocal)
      rig.transport.accept()
      yield* settled
      assert.isUndefined(rig.transport.dial().options.prelude)
    })
  )
})
