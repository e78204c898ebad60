import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle, bundleDirectory, scratch } from "../support/EdgeProcess.ts"
import { createDatabase } from "../support/routingDb.ts"
import { meshBed, missingForMesh, type Name } from "./bed.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))
const missing = missingForMesh()

const overlay = { "pop-sa": "10.50.0.1", "pop-eu": "10.50.0.2", "sa-1": "10.50.1.1", "eu-1": "10.50.3.1" } as const
const overlay6 = ["fd00:ed9e::1:0:0:1", "fd00:ed9e::2:0:0:1", "fd00:ed9e:0:1:1::1", "fd00:ed9e:0:3:1::1"]

describe.skipIf(missing !== undefined)(`a mesh of real tunnels${missing === undefined ? "" : `: ${missing}`}`, () => {
  it.live(
    "brings every host to every other, and carries the proxy's traffic to backends behind two hubs",
    () =>
      Effect.gen(function* () {
        const { internet, machines, publicOf } = yield* meshBed
        // The names are those of the hosts.
        const members = Object.keys(overlay) as ReadonlyArray<keyof typeof overlay>
        for (const name of members) {
          for (const other of members) {
            if (other !== name) yield* machines[name].retry(`ping -c1 -W1 ${overlay[other]}`)
          }
          for (const address of overlay6) yield* machines[name].retry(`ping -6 -c1 -W1 ${address}`)
        }

        for (const [name, region] of [
          ["sa-1", "sa"],
          ["eu-1", "eu"]
        ] as const) {
          const line = [join(bundleDirectory, "mock-backend.js"), "--port", "8080", "--id", name, "--region", region]
          machines[name].start(node, [...line, "--host", overlay[name]])
          yield* machines["pop-sa"].retry(`curl -sf -m 5 http://${overlay[name]}:8080/health`)
        }
        const cwd = yield* scratch
        createDatabase(
          join(cwd, "routing.db"),
          (["sa-1", "eu-1"] as const).map((id) => ({ id, region: id.slice(0, 2), wg_ip: overlay[id], port: 8080 }))
        )
        machines["pop-sa"].start("sh", ["-c", `cd ${cwd} && exec ${node} ${bundle}`], {
          ...process.env,
          EDGEPROXY_LISTEN_ADDR: `${publicOf["pop-sa"]}:8080`,
          EDGEPROXY_REGION: "sa",
          EDGEPROXY_POP_ID: "pop-sa",
          EDGEPROXY_GEO_OVERRIDES: "192.0.2.10/32=BR,198.18.0.1/32=DE",
          EDGEPROXY_BINDING_TTL_SECS: "0"
        })
        machines.client.run("ip addr add 198.18.0.1/32 dev lo")
        internet.run("ip route add 198.18.0.1/32 via 192.0.2.10")
        const ask = (from: string) =>
          machines.client.retry(`curl -sf -m 5 --interface ${from} http://${publicOf["pop-sa"]}:8080/api/info`)
        assert.include(yield* ask("192.0.2.10"), '"id":"sa-1"')
        assert.include(yield* ask("198.18.0.1"), '"id":"eu-1"')

        const carried = (name: Name): number =>
          machines[name]
            .run("wg show wg0 transfer")
            .trim()
            .split("\n")
            .reduce((sum, line) => sum + Number(line.split("\t")[1]), 0)
        assert.isAbove(carried("eu-1"), 500)
        // Without the tunnel nothing is there.
        machines["eu-1"].run("ip link del wg0")
        assert.throws(() => machines["pop-eu"].run(`ping -c1 -W1 ${overlay["eu-1"]}`))
      }),
    60_000
  )
})
