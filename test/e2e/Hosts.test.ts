import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { freePort } from "../bench/freePort.ts"
import { startEdge } from "../support/EdgeProcess.ts"
import { apiOf } from "../support/edgeApi.ts"
import { nameServer } from "../support/nameServer.ts"
import type { Row } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { pathOf } from "../support/tools.ts"
import { defaults, greeted, refusalOf, startWith } from "./setup.ts"

const dig = pathOf("dig")

/** Servers on addresses of their own and one port, each greeting with its address. */
const servers = Effect.fnUntraced(function* (...hosts: ReadonlyArray<string>) {
  let port = 0
  for (const host of hosts) {
    const server = yield* serve({ host, port, onPeer: greet(host) })
    port = server.endpoint.port
  }
  return port
})

const named = (port: number, more: Partial<Row> = {}): Row => ({
  id: "db",
  app: "test",
  region: "sa",
  wg_ip: "db.example",
  port,
  ...more
})

const fresh = { BINDING_TTL_SECS: "0" }

describe("R9: backends by the name of their host", () => {
  it.live(
    "take traffic at all addresses of the name; when it changes, new clients follow and open connections run on",
    () =>
      Effect.gen(function* () {
        const names = yield* nameServer
        const port = yield* servers("127.0.0.31", "127.0.0.32", "127.0.0.33")
        names.names.set("db.example", { a: ["127.0.0.31", "127.0.0.32"], ttl: 1 })
        const edge = yield* startWith([named(port)], { ...fresh, DNS_RESOLVERS: names.address })
        yield* edge.log("host found")
        const api = yield* apiOf(edge)
        const shown = (yield* api.call("GET", "/api/v1/backends/db")).body
        assert.deepInclude(shown, { ip: "db.example", state: "active", hard_limit: 150 })
        assert.deepStrictEqual(shown["addresses"], [`127.0.0.31:${port}`, `127.0.0.32:${port}`])

        const seen = new Set<string>()
        for (let visit = 0; visit < 40 && seen.size < 2; visit++) {
          seen.add((yield* Effect.scoped(greeted(edge.address))).name)
        }
        assert.sameMembers([...seen], ["127.0.0.31", "127.0.0.32"])
        const { name, peer } = yield* greeted(edge.address)

        const lines = edge.logs.length
        names.names.set("db.example", { a: ["127.0.0.33"], ttl: 1 })
        yield* edge.log("host found", lines)
        for (let visit = 0; visit < 5; visit++) {
          assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "127.0.0.33")
        }
        // The one that began before goes on.
        assert.isUndefined(peer.closed())
        yield* peer.finish
        const entry = yield* edge.entry(({ backend }) => backend === `db#${name}`)
        assert.strictEqual(entry.end_cause, "fin")
      }),
    60_000
  )

  it.live(
    "stay where they were when the name server fails, also over a restart, and `/ready` says so",
    () =>
      Effect.gen(function* () {
        const names = yield* nameServer
        const port = yield* servers("127.0.0.34")
        names.names.set("db.example", { a: ["127.0.0.34"], ttl: 1 })
        const env = { ...fresh, DNS_RESOLVERS: names.address }
        const edge = yield* startWith([named(port)], env)
        yield* edge.log("host found")
        names.names.set("db.example", { fails: "SERVFAIL" })
        const api = yield* apiOf(edge)
        const { body, status } = yield* api.until("/ready", (answer) =>
          (answer.body["degraded"] as ReadonlyArray<string>).includes("hosts-not-found")
        )
        assert.strictEqual(status, 200, JSON.stringify(body))
        assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "127.0.0.34")
        // Addresses are stored some seconds after they were found.
        const snapshot = `${edge.database}.snapshot`
        const stored = Effect.sync(() => existsSync(snapshot) && readFileSync(snapshot, "utf8").includes("127.0.0.34"))
        yield* Effect.repeat(Effect.andThen(Effect.sleep(100), stored), { until: (is) => is, times: 300 })
        assert.strictEqual((yield* edge.stop).code, 0)

        const again = yield* startEdge({ cwd: edge.directory, env: { ...defaults(edge.database), ...env } })
        assert.strictEqual((yield* Effect.scoped(greeted(again.address))).name, "127.0.0.34")
        yield* again.log("host not found")
      }),
    60_000
  )

  it.live(
    "are never led to this host's secrets or to the proxy itself by whoever answers for the name",
    () =>
      Effect.gen(function* () {
        const names = yield* nameServer
        names.names.set("db.example", { a: ["169.254.169.254", "8.8.8.8"], aaaa: ["fe80::1", "fd00:ec2::254"], ttl: 1 })
        const own = yield* Effect.promise(freePort)
        const edge = yield* startWith([named(80)], {
          ...fresh,
          DNS_RESOLVERS: names.address,
          API_LISTEN_ADDR: `127.0.0.1:${own}`
        })
        const line = yield* edge.log("host not found")
        assert.match(String(line["reason"]), /169\.254\.169\.254|8\.8\.8\.8|fe80|fd00/)
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
        assert.strictEqual((yield* edge.entryCount(1))[0]?.end_cause, "no-backend")
        const api = yield* apiOf(edge)
        assert.strictEqual((yield* api.call("GET", "/api/v1/backends/db")).body["state"], "unresolved")

        // Its own API, by a name that leads there.
        names.names.set("api.example", { a: ["127.0.0.1"], ttl: 1 })
        const body = { id: "own", app: "test", region: "sa", ip: "api.example", port: own }
        assert.strictEqual((yield* api.call("POST", "/api/v1/register", body)).status, 201)
        yield* edge.log(({ host, message }) => message === "host found" && host === "api.example")
        assert.deepInclude((yield* api.call("GET", "/api/v1/backends/own")).body, {
          state: "unresolved",
          addresses: []
        })
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      }),
    60_000
  )

  it.live(
    "register by name, are services with ports of their own, and have a name in the zone",
    () =>
      Effect.gen(function* () {
        const names = yield* nameServer
        const port = yield* servers("127.0.0.35")
        const other = yield* servers("127.0.0.36")
        names.names.set("_db._tcp.example", {
          srv: [
            [1, 10, port, "one.example"],
            [1, 10, other, "two.example"]
          ]
        })
        names.names.set("one.example", { a: ["127.0.0.35"], ttl: 60 })
        names.names.set("two.example", { a: ["127.0.0.36"], ttl: 60 })
        const edge = yield* startWith([], {
          ...fresh,
          DNS_RESOLVERS: names.address,
          DNS_ENABLED: "true",
          DNS_LISTEN_ADDR: "127.0.0.1:0",
          HEALTH_CHECK_ENABLED: "true",
          HEALTH_CHECK_INTERVAL_SECS: "0.2"
        })
        const api = yield* apiOf(edge)
        const body = { id: "svc", app: "test", region: "sa", ip: "_db._tcp.example", port: 1 }
        assert.strictEqual((yield* api.call("POST", "/api/v1/register", body)).status, 201)
        yield* edge.log("host found")
        const seen = new Set<string>()
        for (let visit = 0; visit < 60 && seen.size < 2; visit++) {
          seen.add((yield* Effect.scoped(greeted(edge.address))).name)
        }
        assert.sameMembers([...seen], ["127.0.0.35", "127.0.0.36"])
        const { body: explained } = yield* api.call("GET", "/api/v1/explain?ip=127.1.0.1")
        assert.include(JSON.stringify(explained), `svc#127.0.0.35:${port}`)
        // A drain of the row is one of all its addresses.
        assert.strictEqual((yield* api.call("POST", "/api/v1/backends/svc/drain")).status, 200)
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
        assert.strictEqual((yield* api.call("POST", "/api/v1/backends/svc/undrain")).status, 200)
        yield* Effect.scoped(greeted(edge.address))
        if (dig !== undefined) {
          const at = String((yield* edge.log("DNS server"))["address"]).split(":")[1] ?? ""
          const short = (...args: ReadonlyArray<string>) =>
            Effect.callback<ReadonlyArray<string>>((resume) => {
              const child = spawn(dig, ["@127.0.0.1", "-p", at, "+short", ...args])
              let text = ""
              child.stdout.on("data", (chunk: Buffer) => void (text += chunk.toString()))
              child.once("close", () =>
                resume(
                  Effect.succeed(
                    text
                      .split("\n")
                      .filter((line) => line !== "")
                      .sort()
                  )
                )
              )
            })
          assert.deepStrictEqual(yield* short("svc.backends.internal"), ["127.0.0.35", "127.0.0.36"])
          assert.deepStrictEqual(yield* short("test.internal"), ["127.0.0.35", "127.0.0.36"])
          const services = [
            `2 2 ${port} svc--127-0-0-35.backends.internal.`,
            `2 2 ${other} svc--127-0-0-36.backends.internal.`
          ]
          assert.deepStrictEqual(yield* short("svc--127-0-0-36.backends.internal"), ["127.0.0.36"])
          assert.deepStrictEqual(yield* short("_test._tcp.internal", "SRV"), services.sort())
        }
        assert.strictEqual((yield* api.call("DELETE", "/api/v1/backends/svc")).status, 200)
        assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      }),
    60_000
  )
})
