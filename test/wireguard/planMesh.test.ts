import { assert, describe, it } from "@effect/vitest"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Mesh, MeshHost } from "../../src/wireguard/Mesh.ts"
import { between } from "../support/arbitraries.ts"
import { addressesOf, anyTopology, planned, pop, problems } from "./topologies.ts"

const named = (mesh: Mesh, name: string): MeshHost => {
  const host = mesh.hosts.find((each) => each.name === name)
  if (host === undefined) throw new Error(`no host ${name}`)
  return host
}

/** The AllowedIPs of a host's peers. */
const allowed = (mesh: Mesh, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (mesh.peers.get(named(mesh, name)) ?? []).map(({ allowed, host }) => [
      host.name,
      allowed.map(IpNetwork.format).join(" ")
    ])
  )

/** WireGuard's own rule, told anew: the peer with the longest prefix that has the address gets the packet, and it alone may send from it. */
const longest = (mesh: Mesh, from: MeshHost, ip: NetAddress.IpAddress): MeshHost | undefined =>
  (mesh.peers.get(from) ?? [])
    .flatMap(({ allowed, host }) => allowed.map((network) => ({ network, host })))
    .filter(
      ({ network }) =>
        NetAddress.familyOf(network.address) === NetAddress.familyOf(ip) && IpNetwork.contains(network, ip)
    )
    .sort((a, b) => b.network.prefixLength - a.network.prefixLength)[0]?.host

const travel = (mesh: Mesh, from: MeshHost, to: MeshHost, family: number): ReadonlyArray<string> => {
  const [source, target] = [from.addresses[family], to.addresses[family]]
  if (source === undefined || target === undefined) throw new Error("no address")
  const way = [from]
  while (way.at(-1) !== to) {
    const current = way.at(-1) ?? from
    const hop = longest(mesh, current, target)
    if (hop === undefined || way.length > 5) throw new Error(`lost at ${current.name}`)
    assert.strictEqual(longest(mesh, hop, source), current, `${hop.name} takes it from ${current.name}`)
    assert.isTrue(current.endpoint !== undefined || hop.endpoint !== undefined)
    if (hop !== to) assert.isTrue(mesh.relays.has(hop), `${hop.name} is a relay`)
    way.push(hop)
  }
  return way.map(({ name }) => name)
}

const trio = [pop("pop-sa", "sa"), pop("pop-us", "us"), pop("pop-eu", "eu")]
const backends = [
  { name: "sa-1", region: "sa" },
  { name: "sa-2", region: "sa" },
  { name: "us-1", region: "us" },
  { name: "eu-1", region: "eu" }
]

describe("the address plan", () => {
  it("numbers POPs in region 0 and backends in theirs, in the order of the file", () => {
    assert.deepStrictEqual(addressesOf(planned({ topology: "full-mesh", pop: trio, backend: backends })), {
      "pop-sa": "10.50.0.1 fd00:ed9e::1:0:0:1",
      "pop-us": "10.50.0.2 fd00:ed9e::2:0:0:1",
      "pop-eu": "10.50.0.3 fd00:ed9e::3:0:0:1",
      "sa-1": "10.50.1.1 fd00:ed9e:0:1:1::1",
      "sa-2": "10.50.1.2 fd00:ed9e:0:1:2::1",
      "us-1": "10.50.2.1 fd00:ed9e:0:2:1::1",
      "eu-1": "10.50.3.1 fd00:ed9e:0:3:1::1"
    })
  })

  it("takes other networks, region numbers, host numbers and addresses, and one family alone", () => {
    const backend = [
      { name: "hkg", region: "ap", number: 256 },
      { name: "nrt", region: "ap" }
    ]
    const mesh = planned({
      topology: "full-mesh",
      ipv4: "off",
      ipv6: "fd12:3456:789a::/48",
      regions: { ap: 9 },
      pop: [pop("p", "ap", { address6: "fd12:3456:789a::53" })],
      backend
    })
    assert.deepStrictEqual(addressesOf(mesh), {
      p: "fd12:3456:789a::53",
      hkg: "fd12:3456:789a:9:100::1",
      nrt: "fd12:3456:789a:9:1::1"
    })
  })

  it.prop("moves nobody when hosts are added at the end", [anyTopology, between(0, 12)], ([raw, kept]) => {
    const before = addressesOf(planned({ ...raw, backend: raw.backend.slice(0, kept) }))
    const after = addressesOf(planned(raw))
    for (const [name, address] of Object.entries(before)) assert.strictEqual(after[name], address)
    assert.strictEqual(new Set(Object.values(after)).size, raw.pop.length + raw.backend.length)
  })
})

describe("the tunnels", () => {
  it.prop("bring every host to every other, both ways, in both families", [anyTopology], ([raw]) => {
    const mesh = planned(raw)
    for (const from of mesh.hosts) {
      for (const to of mesh.hosts) if (from !== to) for (const family of [0, 1]) travel(mesh, from, to, family)
    }
  })

  it.prop("never have one address in two peers of a host", [anyTopology], ([raw]) => {
    const mesh = planned(raw)
    for (const peers of mesh.peers.values()) {
      const all = peers.flatMap(({ allowed }) => allowed)
      for (const [index, network] of all.entries()) {
        for (const other of all.slice(index + 1)) {
          const same = NetAddress.familyOf(network.address) === NetAddress.familyOf(other.address)
          if (same) assert.isFalse(IpNetwork.overlaps(network, other), `${String(network)} ${String(other)}`)
        }
      }
    }
  })

  it.prop("are the same for the same file", [anyTopology], ([raw]) => {
    assert.deepStrictEqual(planned(raw).peers, planned(raw).peers)
  })

  it("full mesh: two that only call meet at a POP, all others directly", () => {
    const mesh = planned({ topology: "full-mesh", ipv6: "off", pop: trio, backend: backends })
    const way = (from: string, to: string) => travel(mesh, named(mesh, from), named(mesh, to), 0)
    assert.deepStrictEqual(way("pop-sa", "eu-1"), ["pop-sa", "eu-1"])
    assert.deepStrictEqual(way("us-1", "eu-1"), ["us-1", "pop-us", "eu-1"])
    assert.deepStrictEqual(way("eu-1", "us-1"), ["eu-1", "pop-us", "us-1"])
  })

  it("hub-spoke: spokes have one peer, which leads to the whole overlay", () => {
    const [sa, ...others] = trio
    const mesh = planned({ topology: "hub-spoke", pop: [{ ...sa, hub: true }, ...others], backend: backends })
    assert.deepStrictEqual(allowed(mesh, "us-1"), { "pop-sa": "10.50.0.0/16 fd00:ed9e::/48" })
    assert.deepStrictEqual(Object.keys(allowed(mesh, "pop-sa")), ["pop-us", "pop-eu", "sa-1", "sa-2", "us-1", "eu-1"])
    assert.deepStrictEqual(
      Array.from(mesh.relays, ({ name }) => name),
      ["pop-sa"]
    )
  })

  it("hierarchical: a hub has the others with the blocks of their regions", () => {
    const mesh = planned({ topology: "hierarchical", ipv6: "off", pop: trio, backend: backends })
    assert.deepStrictEqual(allowed(mesh, "pop-sa"), {
      "pop-us": "10.50.0.2/32 10.50.2.0/24",
      "pop-eu": "10.50.0.3/32 10.50.3.0/24",
      "sa-1": "10.50.1.1/32",
      "sa-2": "10.50.1.2/32"
    })
  })

  it("hierarchical: a block with a member elsewhere is told host by host", () => {
    const stray = { name: "us-2", region: "us", via: "pop-eu" }
    const mesh = planned({ topology: "hierarchical", ipv6: "off", pop: trio, backend: [...backends, stray] })
    assert.deepStrictEqual(allowed(mesh, "pop-sa")["pop-us"], "10.50.0.2/32 10.50.2.1/32")
    assert.deepStrictEqual(allowed(mesh, "pop-sa")["pop-eu"], "10.50.0.3/32 10.50.2.2/32 10.50.3.0/24")
  })
})

describe("what is wrong in a topology", () => {
  const full = (more: object) => ({ topology: "full-mesh", pop: trio, backend: backends, ...more })

  it.each([
    ["no object", 7, /^the file: /],
    ["no topology", { pop: trio }, /^topology: /],
    ["an unknown topology", full({ topology: "ring" }), /^topology: .*full-mesh/],
    ["an unknown key", full({ prot: 1 }), /^prot: no such key/],
    ["an unknown key of a host", full({ pop: [pop("a", "sa", { hubb: true })] }), /^pop\[0\]\.hubb \(a\): no such key/],
    ["a region of no name", full({ pop: [pop("a", "mars")] }), /^pop\[0\]\.region \(a\): .*"sa"/],
    ["a name for a shell", full({ pop: [pop("a;reboot", "sa")] }), /^pop\[0\]\.name \(a;reboot\): /],
    ["a name with a newline", full({ pop: [pop("a\nPostUp = reboot", "sa")] }), /^pop\[0\]\.name/],
    ["a path for a shell", full({ private_key_path: "/k; reboot" }), /^private_key_path: /],
    ["an MTU below IPv6's", full({ mtu: 1_200 }), /^mtu: .*1280/],
    ["a public network", full({ ipv4: "8.8.0.0/16" }), /^ipv4: expected a private/],
    ["a narrow network", full({ ipv4: "10.50.0.0/20" }), /^ipv4: expected a private IPv4 network of 16 bits/],
    ["host bits", full({ ipv4: "10.50.1.0/16" }), /^ipv4: /],
    ["a prefix that is not local", full({ ipv6: "2001:db8::/48" }), /^ipv6: expected a unique local/],
    ["no family", full({ ipv4: "off", ipv6: "off" }), /both families are off/],
    ["one number for two regions", full({ regions: { sa: 2 } }), /^regions\.us: 2 is that of sa/],
    ["two of one name", full({ backend: [pop("pop-sa", "sa")] }), /^backend\[0\]\.name \(pop-sa\): .*pop\[0\]/],
    [
      "a number twice",
      full({ backend: [...backends, { name: "x", region: "sa", number: 2 }] }),
      /^backend\[4\] \(x\): .*10\.50\.1\.2 .*backend\[1\]/
    ],
    ["a number too high", full({ pop: [pop("a", "sa", { number: 255 })] }), /^pop\[0\]\.number \(a\): .*IPv4/],
    [
      "an address outside",
      full({ pop: [pop("a", "sa", { address: "10.51.0.1" })] }),
      /^pop\[0\]\.address \(a\): .*10\.50\.0\.0\/16/
    ],
    ["an address of nobody", full({ pop: [pop("a", "sa", { address: "10.50.255.255" })] }), /^pop\[0\]\.address/],
    [
      "an address of a family that is off",
      full({ ipv6: "off", pop: [pop("a", "sa", { address6: "fd00::1" })] }),
      /address6 \(a\): ipv6 is off/
    ],
    [
      "one endpoint for two",
      full({ pop: [pop("a", "sa", { endpoint: "h:51820" }), pop("b", "us", { endpoint: "H" })] }),
      /^pop\[1\]\.endpoint \(b\): the endpoint h:51820/
    ],
    ["an endpoint that is none", full({ pop: [pop("a", "sa", { endpoint: "h:99999" })] }), /^pop\[0\]\.endpoint/],
    ["an endpoint with a newline", full({ pop: [pop("a", "sa", { endpoint: "h\nPostUp=x" })] }), /^pop\[0\]\.endpoint/],
    ["an endpoint in the overlay", full({ pop: [pop("a", "sa", { endpoint: "10.50.0.9" })] }), /lies in the overlay/],
    ["an endpoint everywhere", full({ pop: [pop("a", "sa", { endpoint: "0.0.0.0" })] }), /^pop\[0\]\.endpoint/],
    ["no keepalive behind NAT", full({ keepalive: 0 }), /^backend\[0\]\.keepalive \(sa-1\): a host behind NAT/],
    ["neither NAT nor endpoint", full({ backend: [{ name: "x", region: "sa", nat: false }] }), /^backend\[0\]\.nat/],
    [
      "one key for two",
      full({ pop: [0, 1].map((n) => pop(`p${n}`, "sa", { public_key: `${"A".repeat(43)}=` })) }),
      /^pop\[1\]\.public_key \(p1\): the key/
    ],
    ["a key that is none", full({ pop: [pop("a", "sa", { public_key: "AAAA" })] }), /^pop\[0\]\.public_key/],
    [
      "two origins of a key",
      full({ pop: [pop("a", "sa", { public_key: `${"A".repeat(43)}=`, private_key_file: "k" })] }),
      /either this/
    ],
    [
      "routes into the overlay",
      full({ backend: [{ name: "x", region: "sa", routes: ["10.50.9.0/24"] }] }),
      /^backend\[0\]\.routes\[0\] \(x\): .*overlaps the overlay/
    ],
    [
      "a default route",
      full({ backend: [{ name: "x", region: "sa", routes: ["0.0.0.0/0"] }] }),
      /overlaps the overlay/
    ],
    [
      "routes with host bits",
      full({ backend: [{ name: "x", region: "sa", routes: ["192.168.7.1/24"] }] }),
      /192\.168\.7\.0\/24, for one/
    ],
    [
      "two routes to one place",
      full({
        backend: ["192.168.0.0/16", "192.168.7.0/24"].map((net, n) => ({ name: `x${n}`, region: "sa", routes: [net] }))
      }),
      /^backend\[1\]\.routes\[0\] \(x1\): .*192\.168\.0\.0\/16 of backend\[0\]/
    ],
    ["a hub in a full mesh", full({ pop: [pop("a", "sa", { hub: true })] }), /^pop\[0\]\.hub \(a\): means nothing/],
    [
      "nobody to call",
      { topology: "full-mesh", pop: [{ name: "a", region: "sa" }], backend: backends.slice(0, 1) },
      /^backend\[0\]\.endpoint \(sa-1\): can't reach pop\[0\] \(a\)/
    ],
    ["no hub", full({ topology: "hub-spoke" }), /^pop: mark one POP/],
    [
      "two hubs",
      { topology: "hub-spoke", pop: trio.map((each) => ({ ...each, hub: true })) },
      /^pop\[1\]\.hub .*one hub/
    ],
    [
      "a hub that only calls",
      { topology: "hub-spoke", pop: [{ name: "a", region: "sa" }], backend: backends },
      /^pop\[0\]\.endpoint \(a\): the hub needs one/
    ],
    [
      "a region without a POP",
      full({ topology: "hierarchical", backend: [{ name: "x", region: "ap" }] }),
      /^backend\[0\]\.via \(x\): region ap has no POP/
    ],
    [
      "two POPs and no hub",
      full({ topology: "hierarchical", pop: [...trio, pop("q", "sa")] }),
      /^pop\[0\]\.hub .*region sa/
    ],
    [
      "hubs that only call",
      {
        topology: "hierarchical",
        pop: [
          { name: "a", region: "sa" },
          { name: "b", region: "us" }
        ]
      },
      /can't reach the hub/
    ],
    [
      "via nobody",
      full({ topology: "hierarchical", backend: [{ name: "x", region: "sa", via: "sa-9" }] }),
      /^backend\[0\]\.via \(x\): expected the name of a hub/
    ],
    ["one host", { topology: "full-mesh", pop: [pop("a", "sa")] }, /two hosts or more/],
    ["a list that is none", full({ backend: { name: "x" } }), /^backend: /]
  ] as const)("%s", (_, raw, expected) => {
    const found = problems(raw)
    assert.isTrue(
      found.some((line) => expected.test(line)),
      found.join("\n")
    )
  })

  it("is told all at once", () => {
    const found = problems({
      topology: "full-mesh",
      mtu: 9,
      ipv4: "10.50.0.0/16",
      pop: [pop("a", "mars"), pop("b", "sa", { endpoint: "?" })],
      backend: [{ name: "c" }]
    })
    assert.deepStrictEqual(
      found.map((line) => line.split(":", 1)[0]),
      ["mtu", "pop[0].region (a)", "backend[0].region (c)"]
    )
    const deeper = problems({
      topology: "hub-spoke",
      pop: [pop("b", "sa", { endpoint: "?" })],
      backend: [
        { name: "c", region: "sa", keepalive: 0 },
        { name: "c", region: "sa" }
      ]
    })
    assert.deepStrictEqual(
      deeper.map((line) => line.split(":", 1)[0]),
      ["pop[0].endpoint (b)", "backend[0].keepalive (c)", "backend[1].name (c)", "pop[0].endpoint (b)"]
    )
  })

  it.prop("never throws, whatever stands where", [anyTopology, between(0, 7), between(0, 16)], ([raw, which, key]) => {
    const junk = [null, -1, 1e99, "", "x\n[Interface]", [], { a: 1 }, "10.50.0.0/16"][which]
    const keys = Object.keys({
      ...raw.pop[0],
      number: 0,
      address: 0,
      address6: 0,
      endpoint: 0,
      nat: 0,
      routes: 0,
      via: 0
    })
    const name = keys[key % keys.length] ?? "name"
    const [first, ...others] = raw.pop
    problems({ ...raw, pop: [{ ...first, [name]: junk }, ...others] })
    problems({ ...raw, [["ipv4", "ipv6", "regions", "pop", "backend", "topology", "mtu"][key % 7] ?? ""]: junk })
    problems(junk)
  })
})
