import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { RCODE } from "../../src/dns/wire.ts"
import { between } from "../support/arbitraries.ts"
import { nameBytes, question, readMessage, subnet } from "../support/dnsMessage.ts"
import { dnsRig } from "../support/dnsRig.ts"
import { backend } from "../support/fixtures.ts"

const long = "x".repeat(50)

/** Eight backends whose names fill an answer. */
const crowded = (rig: ReturnType<typeof dnsRig>): void => {
  for (let host = 1; host <= 8; host++) {
    rig.upstreams.put(backend({ id: `${long}-${host}`, app: "web", address: `10.0.0.${host}` }))
    rig.upstreams.put(backend({ id: `six-${host}`, app: "six", address: `fd00::${host}` }))
  }
}

const client = [1, 2, 3, 4, 5, 6, 7, 8] as const
const cookieOf = (data: Uint8Array | undefined) => ({ options: [[10, [...(data ?? [])]]] as const })

describe("a DNS answer", () => {
  it("repeats id, RD and CD, is authoritative and offers no recursion", () => {
    const { ask, responder } = dnsRig()
    const answer = ask("internal", { type: "SOA", id: 65_535, flags: 0x0110 })
    assert.deepInclude(answer, { id: 65_535, rd: true, ra: false, aa: true, tc: false })
    assert.isFalse(ask("internal", { type: "SOA", flags: 0 }).rd)
    const [, , high = 0, low = 0] = responder(question("internal", { flags: 0x0170 }), "10.0.0.1", "udp") ?? []
    // Neither AD nor the reserved bit.
    assert.deepStrictEqual([high & 0x7f, low], [0x05, 0x10])
  })

  it("has EDNS when the question has, with what UDP carries, and DO as it was", () => {
    const { ask } = dnsRig()
    assert.isUndefined(ask("internal").edns)
    assert.deepInclude(ask("internal", { edns: {} }).edns, { payload: 1_232, version: 0, dnssecOk: false })
    assert.isTrue(ask("internal", { edns: { dnssecOk: true } }).edns?.dnssecOk)
  })

  it("has EDNS when the question has, also where it says no (RFC 6891, 6.1.1): else resolvers take it for a server without", () => {
    const { ask } = dnsRig()
    const broken = { options: [[10, [1, 2, 3]]] } as const
    const said = [
      ask("internal", { type: "AXFR", edns: {} }),
      ask("internal", { edns: broken }),
      ask("internal", { flags: 4 << 11, edns: {} }),
      ask("internal", { type: "AXFR" })
    ]
    assert.deepStrictEqual(
      said.map(({ edns, rcode }) => [rcode, edns?.payload, edns?.options.size]),
      [
        [RCODE.REFUSED, 1_232, 0],
        [RCODE.FORMERR, 1_232, 0],
        [RCODE.NOTIMP, 1_232, 0],
        [RCODE.REFUSED, undefined, undefined]
      ]
    )
  })

  it("BADVERS for an EDNS that nobody knows, whatever its options are", () => {
    const { ask } = dnsRig()
    const answer = ask("internal", { edns: { version: 1, options: [[8, [1]]] } })
    assert.deepInclude(answer, { rcode: RCODE.BADVERS, answers: [] })
    assert.strictEqual(answer.edns?.version, 0)
  })

  it("too long for UDP says so and has nothing else; over TCP all is there", () => {
    const rig = dnsRig()
    crowded(rig)
    const cut = rig.ask("_web._tcp.internal", { type: "SRV" })
    assert.deepInclude(cut, { tc: true, answers: [], authority: [], additional: [] })
    assert.strictEqual(rig.counters.truncated.count, 1)
    const whole = rig.ask("_web._tcp.internal", { type: "SRV", over: "tcp" })
    assert.deepInclude(whole, { tc: false })
    assert.deepStrictEqual([whole.answers.length, whole.additional.length], [8, 8])
  })

  it("leaves addresses beside it out rather than being cut", () => {
    const rig = dnsRig()
    crowded(rig)
    const answer = rig.ask("_web._tcp.internal", { type: "SRV", edns: { payload: 1_232 } })
    assert.isFalse(answer.tc)
    assert.lengthOf(answer.answers, 8)
    assert.isBelow(answer.additional.length, 8)
    assert.isAtMost(answer.bytes, 1_232)
  })

  it("is never longer than the asker takes, or than 1232 bytes", () => {
    const rig = dnsRig()
    crowded(rig)
    for (let payload = 0; payload < 1_500; payload += 7) {
      const edns = { payload, options: [subnet(1, 32, 203, 0, 113, 1), [10, client]] as const }
      for (const [name, type] of [
        ["_web._tcp.internal", "SRV"],
        ["six.internal", "AAAA"],
        ["web.internal", "A"]
      ] as const) {
        const { bytes } = rig.ask(name, { type, edns })
        assert.isAtMost(bytes, Math.min(1_232, Math.max(512, payload)))
      }
    }
    assert.isAtMost(rig.ask("_web._tcp.internal", { type: "SRV", edns: { payload: 65_535 } }).bytes, 1_232)
    assert.lengthOf(rig.ask("six.internal", { type: "AAAA" }).answers, 8)
  })

  it("leaves out a service whose name would be too long", () => {
    const rig = dnsRig({ zone: [long, long, long, "z".repeat(20), "internal"].join(".") })
    rig.upstreams.put(backend({ id: "y".repeat(63), app: "web" }))
    rig.upstreams.put(backend({ id: "short", app: "web" }))
    const answer = rig.ask(`_web._tcp.${long}.${long}.${long}.${"z".repeat(20)}.internal`, { type: "SRV", over: "tcp" })
    assert.deepStrictEqual(
      answer.answers.map(({ text }) => text.split(".")[0]),
      ["3 1 8080 short"]
    )
    assert.lengthOf(answer.additional, 1)
  })
})

describe("what can't be answered", () => {
  it("gets the reason, with the question if that could be read", () => {
    const { responder } = dnsRig()
    const told = (bytes: Uint8Array) => readMessage(responder(bytes, "10.0.0.1", "udp") ?? new Uint8Array())
    const trailing = told(Uint8Array.of(...question("web.internal"), 0))
    assert.deepInclude(trailing, { rcode: RCODE.FORMERR, id: 4_711, question: { name: "web.internal", type: 1 } })
    const cut = told(question("web.internal").subarray(0, 20))
    assert.deepInclude(cut, { rcode: RCODE.FORMERR, question: undefined, bytes: 12 })
    assert.strictEqual(told(question("internal", { type: "AXFR" })).rcode, RCODE.REFUSED)
    assert.strictEqual(told(question("internal", { flags: 5 << 11 })).rcode, RCODE.NOTIMP)
  })

  const seed = question("_web._tcp.internal", {
    type: "SRV",
    edns: { options: [subnet(1, 24, 203, 0, 113), [10, client]] }
  })
  const places = Arbitrary.array(Arbitrary.schema(between(0, seed.length * 256 - 1)), { minLength: 1, maxLength: 6 })

  it.prop(
    "nothing makes it throw, answer with what can't be read, or with more than fits",
    [places, between(0, seed.length), between(0, 1)],
    ([changes, cut, over]) => {
      const rig = dnsRig()
      crowded(rig)
      const bytes = seed.slice(0, Math.max(12, cut))
      for (const change of changes) bytes[(change >> 8) % bytes.length] = change & 255
      const answer = rig.send(bytes, "203.0.113.1", over === 0 ? "udp" : "tcp")
      if (answer !== undefined && over === 0) assert.isAtMost(answer.bytes, 1_232)
    },
    { arbitrary: { runs: 3_000 } }
  )
})

describe("the rate limit", () => {
  it("answers so many a network, then every second one with: come over TCP", () => {
    const rig = dnsRig({ rate: 10 })
    crowded(rig)
    const said = Array.from({ length: 30 }, (_, host) => rig.send(question("web.internal"), `10.9.9.${host}`))
    assert.lengthOf(
      said.slice(0, 10).filter((answer) => answer?.answers.length === 8),
      10
    )
    const rest = said.slice(10)
    assert.lengthOf(
      rest.filter((answer) => answer === undefined),
      10
    )
    assert.isTrue(rest.every((answer) => answer === undefined || (answer.tc && answer.answers.length === 0)))
    assert.deepStrictEqual([rig.counters.slipped.count, rig.counters.dropped.limited], [10, 10])
    // Others, and TCP, have nothing to do with it.
    assert.strictEqual(rig.send(question("web.internal"), "10.9.8.1")?.answers.length, 8)
    assert.strictEqual(rig.send(question("web.internal"), "10.9.9.1", "tcp")?.answers.length, 8)
    rig.state.now = 500
    const later = Array.from({ length: 10 }, () => rig.send(question("web.internal"), "10.9.9.1"))
    assert.lengthOf(
      later.filter((answer) => answer?.answers.length === 8),
      5
    )
  })

  it("takes a /56 of IPv6 for one network", () => {
    const rig = dnsRig({ rate: 1 })
    assert.isFalse(rig.send(question("internal"), "2001:db8:1:101::1")?.tc)
    assert.isNotFalse(rig.send(question("internal"), "2001:db8:1:1ff::2")?.tc)
    assert.isFalse(rig.send(question("internal"), "2001:db8:1:201::1")?.tc)
  })

  it("never sends much more than it got", () => {
    const rig = dnsRig({ rate: 1 })
    const edns = { options: [[10, client]] as const }
    rig.send(question("internal"))
    for (const bytes of [question("web.internal"), question("web.internal", { edns })]) {
      const slipped = rig.send(bytes) ?? rig.send(bytes)
      assert.isAtMost(slipped?.bytes ?? Infinity, bytes.length + 16)
    }
  })

  it("counts what is broken too", () => {
    const rig = dnsRig({ rate: 2 })
    const broken = question("web.internal").subarray(0, 20)
    const said = [1, 2, 3, 4].map(() => rig.send(broken)?.rcode)
    assert.deepStrictEqual(said, [RCODE.FORMERR, RCODE.FORMERR, undefined, undefined])
  })

  it("does not hold for those whose cookie shows that they are where they say", () => {
    const rig = dnsRig({ rate: 1 })
    const first = rig.ask("internal", { edns: { options: [[10, client]] } }).edns?.options.get(10)
    assert.strictEqual(first?.length, 24)
    for (let asked = 0; asked < 20; asked++) assert.isFalse(rig.ask("internal", { edns: cookieOf(first) }).tc)
    // Nobody else can use it.
    const stolen = Array.from({ length: 4 }, () =>
      rig.send(question("internal", { edns: cookieOf(first) }), "10.9.9.10")
    )
    assert.lengthOf(
      stolen.filter((answer) => answer !== undefined && !answer.tc),
      0
    )
  })

  it("hands a cookie to those it holds back", () => {
    const rig = dnsRig({ rate: 1 })
    rig.ask("internal")
    const bytes = question("internal", { edns: { options: [[10, client]] } })
    const slipped = rig.send(bytes) ?? rig.send(bytes)
    assert.isTrue(slipped?.tc)
    const cookie = slipped?.edns?.options.get(10)
    assert.isFalse(rig.ask("internal", { edns: cookieOf(cookie) }).tc)
  })
})

describe("what is counted", () => {
  it("is every question by type and every answer by what it says", () => {
    const rig = dnsRig()
    crowded(rig)
    for (const [name, type] of [
      ["web.internal", "A"],
      ["web.internal", "AAAA"],
      ["x.internal", "A"],
      ["com", "NS"]
    ] as const) {
      rig.ask(name, { type })
    }
    rig.ask("web.internal", { type: 99, over: "tcp" })
    rig.send(question("web.internal").subarray(0, 20))
    rig.send(Uint8Array.of(0))
    assert.deepInclude(rig.counters.questions.udp, { A: 2, AAAA: 1, NS: 1 })
    assert.deepInclude(rig.counters.questions.tcp, { other: 1 })
    assert.deepInclude(rig.counters.answers.udp, { NOERROR: 1, NODATA: 1, NXDOMAIN: 1, REFUSED: 1, FORMERR: 1 })
    assert.deepInclude(rig.counters.answers.tcp, { NODATA: 1 })
    assert.strictEqual(rig.counters.dropped["no-query"], 1)
  })

  it("a name of the test's own codec is what the RFC says", () => {
    assert.deepStrictEqual(nameBytes("a.bc"), [1, 97, 2, 98, 99, 0])
  })
})
