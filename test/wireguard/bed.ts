import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { canHaveMachines, machine, type Machine } from "../support/machine.ts"
import { has, withTopology } from "./rig.ts"

/** What is missing for a mesh of user-space WireGuard; undefined when nothing is. */
export const missingForMesh = (): string | undefined => {
  if (!canHaveMachines) return "needs root and a kernel that gives network namespaces"
  if (!existsSync("/dev/net/tun")) return "needs /dev/net/tun"
  const programs = ["wg", "wg-quick", "wireguard-go"].filter((program) => !has(program))
  return programs.length === 0 ? undefined : `needs ${programs.join(" and ")}`
}

/** Public addresses of the POPs. */
const publicOf = { "pop-sa": "198.51.100.2", "pop-eu": "203.0.113.2" } as const

const topology = `
topology = "hierarchical"
preshared_keys = true
keepalive = 1
[[pop]]
name = "pop-sa"
region = "sa"
endpoint = "${publicOf["pop-sa"]}"
[[pop]]
name = "pop-eu"
region = "eu"
endpoint = "${publicOf["pop-eu"]}"
[[backend]]
name = "sa-1"
region = "sa"
[[backend]]
name = "eu-1"
region = "eu"
`

/** Where each host is plugged into the internet, whose router is always host 1 of the network. */
const plugs = { ...publicOf, "sa-1": "192.0.2.2", "eu-1": "192.0.2.6", client: "192.0.2.10" } as const
export type Name = keyof typeof plugs

/** Two POPs, a backend behind each, and a client, all on the internet; the first four have a mesh that the program planned. */
export const meshBed = Effect.gen(function* () {
  const { at, wireguard } = yield* withTopology(topology)
  const generated = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
  if (generated.code !== 0) return yield* Effect.die(new Error(generated.err))
  const internet = yield* machine("internet")
  internet.run("sysctl -q -w net.ipv4.ip_forward=1")
  const machines = {
    "pop-sa": yield* machine("pop-sa"),
    "pop-eu": yield* machine("pop-eu"),
    "sa-1": yield* machine("sa-1"),
    "eu-1": yield* machine("eu-1"),
    client: yield* machine("client")
  } satisfies Record<Name, Machine>
  for (const [name, address] of Object.entries(plugs)) {
    const router = address.replace(/\d+$/, (last) => String(Number(last) - 1))
    // The names are those of the machines.
    const host = machines[name as Name]
    host.connect(internet, `${address}/30`, `${router}/30`)
    host.run(`ip route add default via ${router}`)
    if (name !== "client") host.run(`mkdir -p /run/wireguard; wg-quick up ${at("mesh", name, "wg0.conf")} 2>&1`)
  }
  return { machines, internet, publicOf }
})
