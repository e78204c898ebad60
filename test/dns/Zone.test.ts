import { assert, describe, it } from "@effect/vitest"
import { RCODE, TYPE } from "../../src/dns/wire.ts"
import { question, rcodeText, type ReadMessage, subnet } from "../support/dnsMessage.ts"
import { dnsRig } from "../support/dnsRig.ts"
import { backend } from "../support/fixtures.ts"

const world = [
  backend({ id: "br-1", app: "web", region: "sa", country: "BR", address: "10.0.0.1", port: 80, weight: 2 }),
  backend({ id: "ar-1", app: "web", region: "sa", country: "AR", address: "10.0.0.2", port: 81 }),
  backend({ id: "de-1", app: "web", region: "eu", country: "DE", address: "10.0.2.1" }),
  backend({ id: "de-6", app: "web", region: "eu", country: "DE", address: "fd00::2:6" }),
  backend({ id: "us-1", app: "web", region: "us", country: "US", address: "10.0.1.1" }),
  backend({ id: "pg-1", app: "pg", region: "eu", address: "10.0.3.1", port: 5_432 })
]

const rigged = (options?: Parameters<typeof dnsRig>[0]) => {
  const rig = dnsRig(options)
  world.forEach(rig.upstreams.put)
  return rig
}

const status = ({ aa, answers, authority, rcode }: ReadMessage): string =>
  `${rcodeText(rcode)}${aa ? " aa" : ""} ${answers.length} ${authority.map(({ type }) => (type === TYPE.SOA ? "SOA" : type)).join()}`

const NODATA = "NOERROR aa 0 SOA"
const NXDOMAIN = "NXDOMAIN aa 0 SOA"

const pops = { sa: ["203.0.113.1", "2001:db8::1"], us: ["198.51.100.1"], eu: ["192.0.2.1"] }

describe("N1: the name of an app", () => {
  it("has the addresses of its backends, the asker's country first", () => {
    const { ask, texts } = rigged()
    assert.strictEqual(texts("web.internal", { from: "203.0.113.9" })[0], "10.0.2.1")
    assert.strictEqual(texts("web.internal", { from: "198.51.100.9" })[0], "10.0.0.1")
    assert.strictEqual(texts("web.internal", { from: "198.51.100.9" })[1], "10.0.0.2")
    assert.strictEqual(texts("web.internal", { from: "192.0.2.9" })[0], "10.0.1.1")
    assert.sameMembers([...texts("web.internal")], ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.2.1"])
    assert.deepStrictEqual(texts("web.internal", { type: "AAAA" }), ["fd00:0:0:0:0:0:2:6"])
    assert.deepStrictEqual(texts("pg.internal"), ["10.0.3.1"])
    assert.strictEqual(status(ask("pg.internal", { type: "AAAA" })), NODATA)
  })

  it("asked from nowhere in particular has those of the POP's region first", () => {
    const { texts } = rigged()
    for (let asked = 0; asked < 20; asked++) {
      assert.sameMembers(texts("web.internal").slice(0, 2), ["10.0.0.1", "10.0.0.2"])
    }
  })

  it("is answered for the client subnet, which the answer is scoped to", () => {
    const { ask, asked, texts } = rigged()
    const edns = { options: [subnet(1, 24, 203, 0, 113)] }
    assert.strictEqual(texts("web.internal", { from: "198.51.100.9", edns })[0], "10.0.2.1")
    assert.deepStrictEqual(asked, ["203.0.113.0"])
    const option = ask("web.internal", { edns }).edns?.options.get(8)
    assert.deepStrictEqual(option, Uint8Array.of(0, 1, 24, 24, 203, 0, 113))
  })

  it("is answered for the source when the subnet is left open, with an answer for all", () => {
    const { ask, asked } = rigged()
    const answer = ask("web.internal", { from: "198.51.100.9", edns: { options: [subnet(1, 0)] } })
    assert.deepStrictEqual(asked, ["198.51.100.9"])
    assert.deepStrictEqual(answer.edns?.options.get(8), Uint8Array.of(0, 1, 0, 0))
  })

  it("is one label, in any case, and comes back as it was asked", () => {
    const { ask, upstreams } = rigged()
    upstreams.put(backend({ id: "X-1", app: "Shop", address: "10.7.7.7" }))
    const answer = ask("wEb.InTeRnAl")
    assert.strictEqual(answer.question?.name, "wEb.InTeRnAl")
    assert.isTrue(answer.answers.every(({ name }) => name === "wEb.InTeRnAl"))
    assert.strictEqual(ask("shop.internal").answers[0]?.text, "10.7.7.7")
    assert.strictEqual(ask("x-1.backends.internal").answers[0]?.text, "10.7.7.7")
    upstreams.drop("X-1")
    assert.strictEqual(status(ask("shop.internal")), NXDOMAIN)
    assert.strictEqual(status(ask("x-1.backends.internal")), NXDOMAIN)
    assert.strictEqual(status(ask("a.b.web.internal")), NXDOMAIN)
  })

  it("leaves out whom the router would: unhealthy, draining, expired, down, at the hard limit, of weight 0", () => {
    const { ask, texts, upstreams } = rigged()
    const [first, second, third, , fourth] = world
    if (first === undefined || second === undefined || third === undefined || fourth === undefined) return assert.fail()
    upstreams.put({ ...first, healthy: false })
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstreams.put({ ...first, draining: true })
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstreams.put({ ...first, expired: true })
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstreams.put({ ...first, weight: 0 })
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstreams.put(first)
    assert.include(texts("web.internal"), "10.0.0.1")
    const upstream = upstreams.get("br-1")
    if (upstream === undefined) return assert.fail()
    upstreams.observe(upstream, { up: false })
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstreams.observe(upstream, { up: true })
    upstreams.put({ ...first, hardLimit: 1 })
    upstream.live = 1
    assert.notInclude(texts("web.internal"), "10.0.0.1")
    upstream.live = 0
    assert.include(texts("web.internal"), "10.0.0.1")
    for (const { id } of world) if (id !== "pg-1") upstreams.put({ ...first, id, draining: true })
    assert.strictEqual(status(ask("web.internal")), NODATA)
  })

  it("H3: has all its backends when none is up", () => {
    const { texts, upstreams } = rigged()
    for (const { id } of world) {
      const upstream = upstreams.get(id)
      if (upstream !== undefined) upstreams.observe(upstream, { up: false })
    }
    assert.lengthOf(texts("web.internal"), 4)
  })

  it("has each address once, and at most 8", () => {
    const { texts, upstreams } = dnsRig()
    for (let port = 1; port <= 10; port++) upstreams.put(backend({ id: `same-${port}`, app: "web", port }))
    assert.deepStrictEqual(texts("web.internal"), ["10.0.0.1"])
    for (let host = 1; host <= 20; host++) {
      upstreams.put(backend({ id: `b-${host}`, app: "web", address: `10.1.1.${host}` }))
    }
    const found = texts("web.internal")
    assert.lengthOf(found, 8)
    assert.lengthOf([...new Set(found)], 8)
  })

  it("touches no connection count, and binds nobody", () => {
    const { ask, upstreams } = rigged()
    const version = upstreams.version()
    for (let asked = 0; asked < 100; asked++) ask("web.internal")
    assert.strictEqual(upstreams.version(), version)
    for (const upstream of upstreams.all()) assert.deepInclude(upstream, { live: 0, reserved: 0 })
  })
})

describe("N1: the other names", () => {
  it("<region>.<app> has those of the region only", () => {
    const { ask, texts } = rigged()
    assert.sameMembers([...texts("sa.web.internal", { from: "203.0.113.9" })], ["10.0.0.1", "10.0.0.2"])
    assert.deepStrictEqual(texts("EU.web.internal"), ["10.0.2.1"])
    assert.strictEqual(status(ask("ap.web.internal")), NODATA)
    assert.strictEqual(status(ask("eu.nothing.internal")), NXDOMAIN)
    assert.strictEqual(status(ask("mars.web.internal")), NXDOMAIN)
  })

  it("<id>.backends has the address of that backend, whatever its health", () => {
    const { ask, texts, upstreams } = rigged()
    assert.deepStrictEqual(texts("br-1.backends.internal"), ["10.0.0.1"])
    assert.deepStrictEqual(texts("de-6.backends.internal", { type: "AAAA" }), ["fd00:0:0:0:0:0:2:6"])
    assert.strictEqual(status(ask("de-6.backends.internal")), NODATA)
    assert.strictEqual(status(ask("zz-1.backends.internal")), NXDOMAIN)
    upstreams.put(backend({ id: "ill", healthy: false, address: "10.8.8.8" }))
    assert.deepStrictEqual(texts("ill.backends.internal"), ["10.8.8.8"])
  })

  it("<id>.backends of a row that names a host has all its addresses, and each has a name of its own", () => {
    const { additional, answers, texts, upstreams } = (() => {
      const rig = rigged()
      for (const [address, port] of [
        ["10.7.7.1", 1],
        ["10.7.7.2", 2],
        ["fd00::7", 2]
      ] as const) {
        rig.upstreams.put(backend({ id: `Db#${address}:${port}`, row: "Db", app: "db", address, port }))
      }
      return { ...rig, ...rig.ask("_db._tcp.internal", { type: "SRV" }) }
    })()
    assert.sameMembers([...texts("db.backends.internal")], ["10.7.7.1", "10.7.7.2"])
    assert.deepStrictEqual(texts("db.backends.internal", { type: "AAAA" }), ["fd00:0:0:0:0:0:0:7"])
    assert.deepStrictEqual(texts("DB--10-7-7-2.backends.internal"), ["10.7.7.2"])
    assert.sameMembers(
      answers.map(({ text }) => text),
      ["3 1 1 Db--10-7-7-1", "3 1 2 Db--10-7-7-2", "3 1 2 Db--fd00--7"].map((text) => `${text}.backends.internal`)
    )
    assert.lengthOf(additional, 3)
    for (const upstream of Array.from(upstreams.named("db"))) upstreams.drop(upstream.backend.id)
    assert.deepStrictEqual(texts("db.backends.internal"), [])
    assert.deepStrictEqual(texts("db--10-7-7-2.backends.internal"), [])
  })

  it("only ids that are labels have names", () => {
    const { send, upstreams } = rigged()
    upstreams.put(backend({ id: "a b", address: "10.8.8.8" }))
    const answer = send(question("a b.backends.internal"))
    assert.strictEqual(answer?.rcode, RCODE.NXDOMAIN)
  })

  it("pops has the addresses of the POPs, nearest first", () => {
    const { ask, texts } = rigged({ pops })
    assert.deepStrictEqual(texts("pops.internal", { from: "203.0.113.9" }).slice(0, 2), ["192.0.2.1", "203.0.113.1"])
    assert.deepStrictEqual(texts("pops.internal", { from: "192.0.2.9" }).slice(0, 2), ["198.51.100.1", "203.0.113.1"])
    assert.strictEqual(texts("pops.internal")[0], "203.0.113.1")
    assert.deepStrictEqual(texts("pops.internal", { type: "AAAA" }), ["2001:db8:0:0:0:0:0:1"])
    assert.deepStrictEqual(texts("us.pops.internal"), ["198.51.100.1"])
    assert.strictEqual(status(ask("ap.pops.internal")), NODATA)
    assert.strictEqual(status(ask("x.pops.internal")), NXDOMAIN)
    assert.strictEqual(status(rigged().ask("pops.internal")), NODATA)
  })

  it("backends and pops are no apps", () => {
    const { ask, upstreams } = rigged()
    for (const app of ["backends", "pops", "_tcp"])
      upstreams.put(backend({ id: `in-${app}`, app, address: "10.6.6.6" }))
    assert.strictEqual(status(ask("backends.internal")), NODATA)
    assert.strictEqual(status(ask("pops.internal")), NODATA)
    assert.strictEqual(status(ask("_tcp.internal")), NODATA)
    assert.strictEqual(status(ask("eu.backends.internal")), NXDOMAIN)
    assert.strictEqual(status(ask("_pops._tcp.internal", { type: "SRV" })), NXDOMAIN)
    assert.strictEqual(status(ask("_backends._tcp.internal", { type: "SRV" })), NXDOMAIN)
  })

  it("SRV keeps the proportions of weights that are no whole numbers, and none is 0", () => {
    const { ask, upstreams } = dnsRig()
    const weightsOf = (): ReadonlyArray<string> =>
      ask("_db._tcp.internal", { type: "SRV" })
        .answers.map(({ text }) => text.split(" ")[1] ?? "")
        .sort()
    upstreams.put(backend({ id: "a", app: "db", address: "10.0.0.1", weight: 0.2 }))
    upstreams.put(backend({ id: "b", app: "db", address: "10.0.0.2", weight: 1.8 }))
    assert.deepStrictEqual(weightsOf(), ["180", "20"])
    upstreams.put(backend({ id: "c", app: "db", address: "10.0.0.3", weight: 1_000 }))
    assert.deepStrictEqual(weightsOf(), ["118", "13", "65535"])
    upstreams.put(backend({ id: "a", app: "db", address: "10.0.0.1", weight: 0.001 }))
    assert.include(weightsOf(), "1")
  })

  it("SRV tells tier, weight, port and name, and the addresses beside", () => {
    const { ask, upstreams } = rigged()
    upstreams.put(backend({ id: "no label", app: "web", region: "sa" }))
    const { additional, answers } = ask("_web._tcp.internal", { type: "SRV", from: "198.51.100.9" })
    assert.deepStrictEqual(
      answers.slice(0, 2).map(({ text }) => text),
      ["0 2 80 br-1.backends.internal", "1 1 81 ar-1.backends.internal"]
    )
    assert.lengthOf(answers, 5)
    assert.isTrue(answers.slice(2).every(({ text }) => text.startsWith("3 1 8080 ")))
    assert.deepStrictEqual(
      additional.slice(0, 2).map(({ name, text }) => `${name} ${text}`),
      ["br-1.backends.internal 10.0.0.1", "ar-1.backends.internal 10.0.0.2"]
    )
    assert.lengthOf(additional, 5)
    assert.strictEqual(status(ask("_web._tcp.internal")), NODATA)
    assert.strictEqual(status(ask("_x._tcp.internal", { type: "SRV" })), NXDOMAIN)
    assert.strictEqual(status(ask("web._tcp.internal", { type: "SRV" })), NXDOMAIN)
    assert.strictEqual(status(ask("web.internal", { type: "SRV" })), NODATA)
  })

  it("the apex has SOA and NS, and says who serves it", () => {
    const { ask } = rigged({ pops })
    const soa = ask("internal", { type: "SOA" })
    assert.strictEqual(soa.answers[0]?.text, "pops.internal hostmaster.internal 1559731985 3600 600 86400 30")
    const ns = ask("internal", { type: "NS" })
    assert.strictEqual(ns.answers[0]?.text, "pops.internal")
    assert.sameMembers(
      ns.additional.map(({ name, text }) => `${name} ${text}`),
      ["203.0.113.1", "2001:db8:0:0:0:0:0:1", "198.51.100.1", "192.0.2.1"].map((text) => `pops.internal ${text}`)
    )
    assert.strictEqual(status(ask("internal")), NODATA)
  })

  it("ANY gets one small record (RFC 8482)", () => {
    const { ask } = rigged()
    for (const name of ["internal", "web.internal", "br-1.backends.internal", "_web._tcp.internal", "pops.internal"]) {
      const { answers } = ask(name, { type: "ANY" })
      assert.deepStrictEqual([answers.length, answers[0]?.type], [1, TYPE.HINFO])
    }
    assert.strictEqual(status(ask("nothing.internal", { type: "ANY" })), NXDOMAIN)
  })
})

describe("N2: what is not there", () => {
  it("outside of the zone is refused", () => {
    const { ask } = rigged()
    for (const name of ["example.com", "", "xinternal", "web.internal.com", "al"]) {
      assert.strictEqual(status(ask(name)), "REFUSED 0 ")
    }
    assert.strictEqual(status(ask("web.internal", { class: 3 })), "REFUSED 0 ")
    assert.strictEqual(status(ask("web.internal", { class: 255 })), "REFUSED 0 ")
  })

  it("may be remembered for the TTL", () => {
    const { ask } = rigged({ ttlSecs: 12 })
    const { authority } = ask("nothing.internal")
    assert.deepInclude(authority[0], { name: "internal", ttl: 12 })
    assert.match(authority[0]?.text ?? "", / 12$/)
    assert.strictEqual(ask("web.internal").answers[0]?.ttl, 12)
  })

  it("is not known before the first table", () => {
    const { ask, state } = rigged({ pops })
    state.loaded = false
    for (const name of ["web.internal", "nothing.internal", "br-1.backends.internal", "_web._tcp.internal"]) {
      assert.strictEqual(status(ask(name)), "SERVFAIL 0 ")
    }
    assert.strictEqual(status(ask("internal", { type: "SOA" })), "NOERROR aa 1 ")
    assert.strictEqual(ask("pops.internal").answers.length, 3)
  })

  it("a zone of several labels works as well", () => {
    const { ask, texts } = rigged({ zone: "edge.example.net" })
    assert.deepStrictEqual(texts("pg.edge.example.net"), ["10.0.3.1"])
    assert.strictEqual(ask("nothing.edge.example.net").authority[0]?.name, "edge.example.net")
    assert.strictEqual(status(ask("example.net")), "REFUSED 0 ")
    assert.strictEqual(status(ask("pg.example.net")), "REFUSED 0 ")
  })
})
