import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { planOf } from "../../src/wireguard/addressPlan.ts"
import { apiOf } from "../support/edgeApi.ts"
import { bundleDirectory } from "../support/EdgeProcess.ts"
import { has, port } from "../support/outsiders.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { canHaveMachines, machine } from "../support/machine.ts"
import { greeted, refusalOf, startWith } from "./setup.ts"

const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"))

describe.skipIf(!hasIpv6).each(engines)("the %s engine (skips without ::1)", (TRANSPORT) => {
  it.live("takes clients of both families at one address, and leads them to backends of both", () =>
    Effect.gen(function* () {
      const [four, six] = [yield* serve({ onPeer: greet("four") }), yield* serve({ host: "::1", onPeer: greet("six") })]
      const rows = [rowOf("four", four, { app: "a", country: "BR" }), rowOf("six", six, { app: "a", country: "US" })]
      const edge = yield* startWith(rows, {
        TRANSPORT,
        LISTEN_ADDR: "[::]:0",
        API_LISTEN_ADDR: "[::1]:0",
        METRICS_ENABLED: "true",
        METRICS_LISTEN_ADDR: "[::1]:0",
        GEO_OVERRIDES: "127.1.0.0/16=BR,::1=US",
        PROXY_PROTOCOL_OUT: "v1"
      })
      const { port: at } = edge.address
      const visit = Effect.fnUntraced(function* (address: string, from: string, name: string) {
        const { name: said, peer } = yield* greeted({ address, port: at }, { from })
        assert.strictEqual(said, name)
        yield* peer.finish
        yield* peer.awaitClosed
        return peer.ports[0]
      })
      const fromFour = yield* visit("127.0.0.1", "127.1.0.7", "four")
      const fromSix = yield* visit("::1", "::1", "six")
      assert.strictEqual((yield* four.peer(0)).text(), `PROXY TCP4 127.1.0.7 127.0.0.1 ${fromFour} ${at}\r\n`)
      assert.strictEqual((yield* six.peer(0)).text(), `PROXY TCP6 ::1 ::1 ${fromSix} ${at}\r\n`)
      assert.deepStrictEqual(
        (yield* edge.entryCount(2)).map(({ backend_addr, client, country, listener }) => [
          client,
          country,
          listener,
          backend_addr
        ]),
        [
          ["127.1.0.7", "BR", `[::]:${at}`, `127.0.0.1:${four.endpoint.port}`],
          ["::1", "US", `[::]:${at}`, `[::1]:${six.endpoint.port}`]
        ]
      )
      const api = yield* apiOf(edge)
      assert.match(api.url, /^http:\/\/\[::1\]:/)
      const { body } = yield* api.call("GET", "/api/v1/explain?ip=2001:db8:1:2::7")
      assert.deepInclude(body["client"], { address: "2001:db8:1:2::7", key: "2001:db8:1:2::/64" })
      const metrics = yield* edge.log("metrics endpoint")
      const scraped = yield* Effect.promise(async () =>
        (await fetch(`http://${String(metrics["address"])}/metrics`)).text()
      )
      assert.include(scraped, `edgeproxy_connections_total{listener="[::]:${at}"`)
    })
  )

  it.live("has an IPv6 wildcard leave IPv4 to those who have it on the same port", () =>
    Effect.gen(function* () {
      const [web, pg] = [yield* serve({ onPeer: greet("web") }), yield* serve({ onPeer: greet("pg") })]
      const at = yield* port
      const edge = yield* startWith([rowOf("w", web, { app: "web" }), rowOf("p", pg, { app: "pg" })], {
        TRANSPORT,
        LISTEN_ADDR: `[::]:${at}=web,127.0.0.1:${at}=pg`
      })
      assert.strictEqual((yield* greeted({ address: "::1", port: at })).name, "web")
      assert.strictEqual((yield* greeted({ address: "127.0.0.1", port: at })).name, "pg")
      assert.strictEqual(yield* refusalOf({ address: "127.0.0.2", port: at }), "ECONNREFUSED")
      assert.strictEqual(edge.addresses.length, 2)
    })
  )
})

const reasonsOf = (list: unknown): Array<unknown> =>
  Array.isArray(list) ? list.map((each: { readonly reason?: unknown }) => each.reason) : []

it.live("a backend on one link only is told of, and left out", () =>
  Effect.gen(function* () {
    const server = yield* serve({ onPeer: greet("a") })
    const edge = yield* startWith([
      rowOf("a", server),
      rowOf("zone", server, { wg_ip: "fe80::1%eth0" }),
      rowOf("link", server, { wg_ip: "fe80::1" })
    ])
    const api = yield* apiOf(edge)
    const { body } = yield* api.call("GET", "/api/v1/backends?state=quarantined")
    const why = "wg_ip: Expected an address without zone (%) that is not link-local, got"
    const expected = ["fe80::1%eth0", "fe80::1"].map((address) => `${why} ${JSON.stringify(address)}`)
    assert.sameMembers(reasonsOf(body["backends"]), expected)
  })
)

const needs = !canHaveMachines || !has("curl")

describe.skipIf(needs)("a network of unique local addresses (skips without network namespaces or curl)", () => {
  it.live.each(engines)(
    "leads clients by the /64 they are in to backends whose region and number are in theirs: %s",
    (TRANSPORT) =>
      Effect.gen(function* () {
        const plan = Result.getOrThrow(planOf("fd00:ed9e::/48", 6))
        // POPs are region 0; then sa 1, us 2, eu 3, ap 4.
        const hostOf = (region: number, host: number): string => {
          const address = plan.addressOf(region, host)
          return address === undefined ? "" : NetAddress.formatIp(address)
        }
        const pop = hostOf(0, 1)
        const backends = { "sa-1": hostOf(1, 1), "eu-1": hostOf(3, 1), "eu-2": hostOf(3, 2) }
        assert.strictEqual(backends["eu-2"], "fd00:ed9e:0:3:2::1")
        const [german, sibling, brazilian] = ["fd00:c:0:3::a", "fd00:c:0:3::b", "fd00:c:0:1::a"]

        const [here, far] = [yield* machine("pop"), yield* machine("far")]
        here.connect(far, "fd00:ffff::1/64", "fd00:ffff::2/64")
        here.run(`ip -6 addr add ${pop}/128 dev lo; ip -6 route add fd00::/16 via fd00:ffff::2 src ${pop}`)
        for (const address of [...Object.values(backends), german, sibling, brazilian]) {
          far.run(`ip -6 addr add ${address}/128 dev lo nodad`)
        }
        far.run(`ip -6 route add ${pop}/128 via fd00:ffff::1`)

        const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))
        for (const [id, host] of Object.entries(backends)) {
          far.start(node, [
            join(bundleDirectory, "mock-backend.js"),
            "--port",
            "8080",
            "--id",
            id,
            "--region",
            id.slice(0, 2),
            "--host",
            host
          ])
          yield* here.retry(`curl -gsf -m 5 'http://[${host}]:8080/health'`)
        }
        const edge = yield* startWith(
          Object.entries(backends).map(([id, wg_ip]) => ({ id, region: id.slice(0, 2), wg_ip, port: 8080 })),
          {
            TRANSPORT,
            LISTEN_ADDR: "[::]:8080",
            API_LISTEN_ADDR: "[::]:8081",
            GEO_OVERRIDES: "fd00:c:0:3::/64=DE,fd00:c:0:1::/64=BR",
            HEALTH_CHECK_ENABLED: "true"
          },
          { through: here.through }
        )
        const visit = (from: string, to: string): string =>
          far.run(`curl -gsf -m 5 --interface ${from} 'http://[${to}]:8080/health'`)
        for (const client of [german, sibling, brazilian]) visit(client, pop)
        here.run("curl -sf -m 5 http://127.0.0.1:8080/health")
        const [first, second, third, fourth] = yield* edge.entryCount(4)
        assert.deepInclude(first, { client: german, country: "DE", tier: 1, affinity: "new" })
        // The same /64 is the same client.
        assert.deepInclude(second, { client: sibling, country: "DE", affinity: "hit", backend: first?.backend ?? null })
        assert.deepInclude(third, { client: brazilian, country: "BR", affinity: "new", backend: "sa-1", tier: 1 })
        assert.strictEqual(third?.backend_addr, "[fd00:ed9e:0:1:1::1]:8080")
        assert.deepInclude(fourth, { client: "127.0.0.1", country: null })
        const answer = here.run(`curl -gsf 'http://[::1]:8081/api/v1/explain?ip=${german}'`)
        assert.deepInclude(JSON.parse(answer).client, { address: german, key: "fd00:c:0:3::/64", country: "DE" })
        // From elsewhere the API wants a token, whatever the family.
        assert.match(
          far.run(`curl -gs -o /dev/null -w '%{http_code}' 'http://[${pop}]:8081/api/v1/backends'`),
          /^40[13]$/
        )
      })
  )
})
