import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import { Region, regions } from "../../src/domain/Region.ts"
import type { Mesh } from "../../src/wireguard/Mesh.ts"
import { planMesh } from "../../src/wireguard/planMesh.ts"
import type { Shape } from "../../src/wireguard/Topology.ts"
import { between } from "../support/arbitraries.ts"

/** A host as the file has it. */
export interface RawHost {
  readonly name: string
  readonly region: string
  readonly [key: string]: unknown
}

export interface RawTopology {
  readonly topology: Shape
  readonly pop: ReadonlyArray<RawHost>
  readonly backend: ReadonlyArray<RawHost>
  readonly [key: string]: unknown
}

export const planned = (raw: unknown): Mesh => Result.getOrThrow(planMesh(raw, "mesh.toml")).mesh

/** What is wrong, as `path: message`. */
export const problems = (raw: unknown): ReadonlyArray<string> => {
  const result = planMesh(raw, "mesh.toml")
  return Result.isSuccess(result) ? [] : result.failure.problems.map(({ message, path }) => `${path}: ${message}`)
}

export const addressesOf = (mesh: Mesh): Readonly<Record<string, string>> =>
  Object.fromEntries(mesh.hosts.map(({ addresses, name }) => [name, addresses.map(NetAddress.formatIp).join(" ")]))

export const pop = (name: string, region: string, more: Readonly<Record<string, unknown>> = {}): RawHost => ({
  name,
  region,
  endpoint: `${name}.example.com`,
  ...more
})

const hosts = Arbitrary.array(Arbitrary.all([Arbitrary.schema(Region), Arbitrary.schema(between(0, 2))]), {
  minLength: 0,
  maxLength: 12
})

/** Any mesh that should come about: hubs can be called, others as it happens. */
const topologyOf = (shape: Shape): Arbitrary.Arbitrary<RawTopology> =>
  Arbitrary.map(Arbitrary.all([hosts, hosts]), ([others, behind]) => {
    const hub = (index: number) =>
      shape === "hierarchical" || (shape === "hub-spoke" && index === 0) ? { hub: true } : {}
    // One in each region that can be called, so that every shape has what it needs.
    const pops = regions.map((region, index) => pop(`hub-${region}`, region, hub(index)))
    const spare = others.map(([region, kind], index) =>
      kind === 0 ? { name: `pop-${index}`, region } : pop(`pop-${index}`, region)
    )
    const backend = behind.map(([region, kind], index) => {
      const name = `node-${index}`
      if (kind === 0) return { name, region }
      if (kind === 1) return pop(name, region)
      return { name, region, routes: [`192.168.${index}.0/24`, `2001:db8:${index.toString(16)}::/48`] }
    })
    return { topology: shape, pop: [...pops, ...spare], backend }
  })

export const anyTopology: Arbitrary.Arbitrary<RawTopology> = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(between(0, 2)),
    topologyOf("full-mesh"),
    topologyOf("hub-spoke"),
    topologyOf("hierarchical")
  ]),
  ([which, full, spokes, tree]) => (which === 0 ? full : which === 1 ? spokes : tree)
)
