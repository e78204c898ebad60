import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { lacking } from "../bench/packages.ts"
import { parse } from "../support/exposition.ts"
import { haproxy, has, nginx, port, run } from "../support/outsiders.ts"
import { tlv, v1, v2 } from "../support/proxyHeader.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, echo, greet, serve } from "../support/tcp.ts"
import { startWith, why } from "./setup.ts"

const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

const trusting = (mode: "optional" | "required", cidrs = "127.9.0.0/16") => ({
  PROXY_PROTOCOL_IN: mode,
  PROXY_PROTOCOL_TRUSTED_CIDRS: cidrs
})

/** In the networks of these tests: a load balancer that is trusted, and clients in Brazil and in the United States. */
const [balancer, brazilian, american] = ["127.9.0.1", "127.1.0.7", "127.2.0.7"]

const announcing = (client: string): Uint8Array => v1(`TCP4 ${client} 198.51.100.9 4711 443`)

describe.each(engines)("the %s engine", (TRANSPORT) => {
  it.live("routes and logs by the client that a trusted peer names, and tells the backend", () =>
    Effect.gen(function* () {
      const [home, abroad] = [yield* serve({ onPeer: greet("BR") }), yield* serve({ onPeer: greet("US") })]
      const edge = yield* startWith([rowOf("br", home, { country: "BR" }), rowOf("us", abroad, { country: "US" })], {
        ...trusting("required"),
        TRANSPORT,
        PROXY_PROTOCOL_OUT: "v1"
      })
      const visit = Effect.fnUntraced(function* (header: Uint8Array, name: string) {
        const peer = yield* connect(edge.address, { from: balancer })
        yield* peer.send(Buffer.concat([header, Buffer.from("hello")]))
        yield* peer.awaitText(`${name}\n`)
        yield* peer.finish
        yield* peer.awaitClosed
      })
      yield* visit(announcing(brazilian), "BR")
      yield* visit(announcing(american), "US")
      yield* visit(v2({ addresses: [127, 2, 0, 7, 198, 51, 100, 9, 0x12, 0x67, 1, 0xbb] }), "US")
      assert.strictEqual((yield* home.peer(0)).text(), `PROXY TCP4 ${brazilian} 198.51.100.9 4711 443\r\nhello`)
      const entries = yield* edge.entryCount(3)
      assert.deepStrictEqual(
        entries.map(({ bytes_in, client, client_port, country, peer }) => [
          client,
          client_port,
          country,
          bytes_in,
          peer?.split(":")[0]
        ]),
        [
          [brazilian, 4711, "BR", 5, balancer],
          [american, 4711, "US", 5, balancer],
          [american, 4711, "US", 5, balancer]
        ]
      )
    })
  )

  it.live("required: refuses strangers, whatever they say, and whoever does not say for whom it comes", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server)], { ...trusting("required"), TRANSPORT })
      const refused = Effect.fnUntraced(function* (from: string, bytes: Uint8Array | string) {
        // It may have been reset by then, and may even hear of that first.
        const end = yield* connect(edge.address, { from }).pipe(
          Effect.tap((peer) => Effect.ignore(peer.send(bytes))),
          Effect.flatMap((peer) => peer.awaitClosed),
          Effect.catch(({ code }) => Effect.succeed(code))
        )
        assert.strictEqual(end, "ECONNRESET")
      }, Effect.scoped)
      yield* refused("127.0.0.1", announcing(brazilian))
      yield* refused(balancer, "GET / HTTP/1.1\r\n\r\n")
      yield* refused(balancer, v1("TCP4 1.2.3.4 1.2.3.4 1 99999"))
      yield* refused(balancer, v2({ rest: tlv(3, [1, 2, 3, 4]) }))
      const entries = yield* edge.entryCount(4)
      const bad = "proxy pre-route bad-proxy-header"
      assert.deepStrictEqual(entries.map(why), ["proxy pre-route untrusted-peer", bad, bad, bad])
      assert.strictEqual(server.peers.length, 0)
    })
  )

  it.live("optional: a stranger's header is refused; whoever comes may send none, or wait for the server", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("hi") })
      const edge = yield* startWith([rowOf("a", server)], { ...trusting("optional"), TRANSPORT })
      const forger = yield* connect(edge.address)
      yield* forger.send(announcing(brazilian))
      assert.strictEqual(yield* forger.awaitClosed, "ECONNRESET")
      assert.strictEqual(server.peers.length, 0)
      const stranger = yield* connect(edge.address)
      yield* stranger.awaitText("hi\n")
      const silent = yield* connect(edge.address, { from: balancer })
      yield* silent.awaitText("hi\n")
      yield* silent.send("late")
      yield* silent.awaitText("hi\nlate")
      const talking = yield* connect(edge.address, { from: balancer })
      yield* talking.send("GET /")
      yield* talking.awaitText("hi\nGET /")
      const named = yield* connect(edge.address, { from: balancer })
      yield* named.send(Buffer.concat([announcing(brazilian), Buffer.from("GET /")]))
      yield* named.awaitText("hi\nGET /")
      for (const peer of [stranger, silent, talking, named]) yield* peer.finish
      const entries = yield* edge.entryCount(5)
      assert.sameDeepMembers(
        entries.map(({ client, peer }) => [client, peer === null]),
        [
          ["127.0.0.1", true],
          ["127.0.0.1", true],
          [balancer, true],
          [balancer, true],
          [brazilian, false]
        ]
      )
    })
  )

  it.live("waits for the rest of a header no longer than for anything else", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server)], {
        ...trusting("optional"),
        TRANSPORT,
        PREROUTE_TIMEOUT_MS: "700"
      })
      const peer = yield* connect(edge.address, { from: balancer })
      const drip = Effect.andThen(Effect.ignore(peer.send("x")), Effect.sleep(50))
      yield* peer.send("PROXY UNKNOWN ")
      yield* Effect.forkScoped(Effect.forever(drip))
      assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
      const [entry] = yield* edge.entryCount(1)
      assert.strictEqual(entry && why(entry), "proxy pre-route preroute-timeout")
      assert.strictEqual(server.peers.length, 0)
    })
  )

  it.live("lives through headers of which any byte is wrong, or that stop anywhere", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server, { hard_limit: 0 })], {
        ...trusting("required"),
        TRANSPORT,
        PREROUTE_TIMEOUT_MS: "500"
      })
      const whole = [announcing(brazilian), v2({ rest: [...tlv(5, "u"), ...tlv(0x20, [1, 0, 0, 0, 0])] })]
      const attempts = whole.flatMap((header) =>
        Array.from(header, (byte, at) => {
          const wrong = Uint8Array.from(header)
          wrong[at] = byte ^ (at % 2 === 0 ? 0xff : 1)
          return [wrong, header.subarray(0, at)]
        }).flat()
      )
      yield* Effect.forEach(
        attempts,
        (bytes) =>
          Effect.gen(function* () {
            const peer = yield* connect(edge.address, { from: balancer })
            yield* Effect.ignore(peer.send(bytes))
            yield* Effect.ignore(peer.finish)
            yield* peer.awaitClosed
          }).pipe(Effect.ignore, Effect.scoped),
        { concurrency: 50, discard: true }
      )
      const peer = yield* connect(edge.address, { from: balancer })
      yield* peer.send(Buffer.concat([announcing(brazilian), Buffer.from("still")]))
      yield* peer.awaitText("still")
      assert.strictEqual(edge.errorText(), "")
      assert.notInclude(JSON.stringify(edge.logs), "fault")
      yield* edge.entryCount(attempts.length)
    })
  )
})

describe.each(["v1", "v2"])("between two HAProxies, %s out (skips without haproxy)", (out) => {
  it.live.skipIf(!has("haproxy"))(
    "both believe and are believed; checks are no broken connections to the one behind",
    () =>
      Effect.gen(function* () {
        const [front1, front2, behind] = [yield* port, yield* port, yield* port]
        const row = { id: "h", region: "sa", wg_ip: "127.0.0.1", port: behind }
        const answer = "%[src] %[src_port] %[dst] %[fc_pp_unique_id] %[fc_rcvd_proxy]"
        yield* haproxy(
          behind,
          `frontend behind\nmode http\nbind 127.0.0.1:${behind} accept-proxy
        http-request return status 200 content-type text/plain lf-string "${answer}"`
        )
        const edge = yield* startWith([row], {
          ...trusting("required", "127.0.0.1"),
          PROXY_PROTOCOL_OUT: out,
          METRICS_ENABLED: "true",
          METRICS_LISTEN_ADDR: "127.0.0.1:0",
          HEALTH_CHECK_ENABLED: "true",
          HEALTH_CHECK_TYPE: "http",
          HEALTH_CHECK_INTERVAL_SECS: "0.1"
        })
        const { address: metricsAddress } = yield* edge.log("metrics endpoint")
        yield* haproxy(
          front2,
          `listen one\nbind 127.0.0.1:${front1}\nserver edge 127.0.0.1:${edge.address.port} send-proxy
        listen two\nbind 127.0.0.1:${front2}\nserver edge 127.0.0.1:${edge.address.port} send-proxy-v2`
        )
        for (const front of [front1, front2]) {
          const { out: said } = yield* run("curl", ["-s", "--interface", american, `http://127.0.0.1:${front}/`])
          const { client_port, conn } = yield* edge.entry(
            ({ listener, peer, client_port: port }) => listener !== "" && peer !== null && said.includes(` ${port} `)
          )
          const unique = out === "v2" ? conn : ""
          assert.strictEqual(said, `${american} ${client_port} 127.0.0.1 ${unique} 1`)
        }
        const passed = Effect.map(
          Effect.promise(async () => (await fetch(`http://${String(metricsAddress)}/metrics`)).text()),
          (text) => parse(text)
        )
        yield* Effect.repeat(passed, {
          until: (metrics) => (metrics.value("edgeproxy_health_checks_total", { result: "passed" }) ?? 0) >= 2
        })
      })
  )
})

describe.each(["v1", "v2"])("between two nginx, %s out (skips without nginx and its stream module)", (out) => {
  it.live.skipIf(lacking(["nginx stream"]) !== undefined)("both believe and are believed", () =>
    Effect.gen(function* () {
      const [front, behind] = [yield* port, yield* port]
      const answer = "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"
      yield* nginx(behind, `stream { server { listen 127.0.0.1:${behind} proxy_protocol; return "${answer}"; } }`)
      const edge = yield* startWith([{ id: "n", region: "sa", wg_ip: "127.0.0.1", port: behind }], {
        ...trusting("required", "127.0.0.1"),
        PROXY_PROTOCOL_OUT: out
      })
      const to = `127.0.0.1:${edge.address.port}`
      yield* nginx(front, `stream { server { listen 127.0.0.1:${front}; proxy_pass ${to}; proxy_protocol on; } }`)
      const peer = yield* connect({ address: "127.0.0.1", port: front }, { from: brazilian })
      yield* peer.awaitFin
      assert.strictEqual(peer.text(), `${brazilian} ${peer.ports[0]} 127.0.0.1 ${front}`)
    })
  )
})

it.live.skipIf(!has("curl"))("curl --haproxy-protocol is believed (skips without curl)", () =>
  Effect.gen(function* () {
    const server = yield* serve({
      onPeer: (peer) =>
        void Effect.runFork(
          peer.awaitText("\r\n\r\n").pipe(
            Effect.andThen(() => peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")),
            Effect.andThen(peer.finish),
            Effect.ignore
          )
        )
    })
    const edge = yield* startWith([rowOf("a", server)], trusting("required", "127.0.0.1"))
    const url = `http://127.0.0.1:${edge.address.port}/`
    assert.strictEqual((yield* run("curl", ["-s", "--haproxy-protocol", url])).out, "ok")
    assert.strictEqual((yield* run("curl", ["-s", url])).code, 56)
    const entries = yield* edge.entryCount(2)
    assert.deepStrictEqual(
      entries.map(({ peer, ...entry }) => [peer === null, why(entry)]),
      [
        [false, "backend relay fin"],
        [true, "proxy pre-route bad-proxy-header"]
      ]
    )
  })
)
