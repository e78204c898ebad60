import { assert, describe, it } from "@effect/vitest"
import type { MeshHost, Peer } from "../../src/wireguard/Mesh.ts"
import { unreachedOf } from "../../src/wireguard/reachability.ts"
import { anyTopology, planned, pop } from "./topologies.ts"

const spoke = { name: "s", region: "sa" }
const mesh = planned({
  topology: "hub-spoke",
  ipv6: "off",
  pop: [pop("hub", "sa")],
  backend: [spoke, { ...spoke, name: "t" }]
})

/** The proof over a mesh whose peers were tampered with. */
const told = (change: (peer: Peer, of: MeshHost) => ReadonlyArray<Peer>): ReadonlyArray<string> =>
  unreachedOf(
    mesh.hosts,
    new Map(Array.from(mesh.peers, ([host, peers]) => [host, peers.flatMap((peer) => change(peer, host))]))
  ).map(({ from, to, why }) => `${from.name} ${to.name}: ${why}`)

describe("the proof that all reach all", () => {
  it.prop("finds nothing wrong with what was planned", [anyTopology], ([raw]) => {
    const { hosts, peers } = planned(raw)
    assert.deepStrictEqual(unreachedOf(hosts, peers), [])
  })

  it("finds a way that is missing", () => {
    const found = told((peer, { name }) => (name === "hub" && peer.host.name === "t" ? [] : [peer]))
    assert.include(found, "s t: hub has no way to it")
    assert.include(found, "t hub: hub takes nothing of it from t")
  })

  it("finds two ways", () => {
    const [network] = mesh.plans.map(({ network }) => network)
    const found = told((peer, { name }) => {
      const wide = name === "hub" && peer.host.name === "t" && network !== undefined
      return [wide ? { ...peer, allowed: [network] } : peer]
    })
    assert.include(found, "hub s: both s and t lead there")
  })

  it("finds two that can't call each other", () => {
    const mute = new Map(
      mesh.hosts.map((host): readonly [MeshHost, MeshHost] => [host, { ...host, endpoint: undefined }])
    )
    const peers = new Map(
      Array.from(mesh.peers, ([host, peers]) => [
        mute.get(host) ?? host,
        peers.map((peer) => ({ ...peer, host: mute.get(peer.host) ?? peer.host }))
      ])
    )
    const found = unreachedOf(Array.from(mute.values()), peers).map(({ why }) => why)
    assert.include(found, "neither s nor hub has an endpoint")
  })

  it("finds one-way streets", () => {
    const after = (host: MeshHost): MeshHost => mesh.hosts[(mesh.hosts.indexOf(host) + 1) % 3] ?? host
    const allowed = mesh.plans.map(({ network }) => network)
    const around = new Map(mesh.hosts.map((host) => [host, [{ host: after(host), allowed }]]))
    const found = unreachedOf(mesh.hosts, around).map(({ from, to, why }) => `${from.name} ${to.name}: ${why}`)
    assert.include(found, "hub t: s takes nothing of it from hub")
  })
})
