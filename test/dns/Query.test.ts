import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { type Query, readQuery } from "../../src/dns/Query.ts"
import { RCODE } from "../../src/dns/wire.ts"
import { between } from "../support/arbitraries.ts"
import { nameBytes, question, subnet } from "../support/dnsMessage.ts"

const understood = (bytes: Uint8Array): Query => {
  const query = readQuery(bytes)
  if (query === undefined || "rcode" in query) throw new Error(`not understood: ${query?.rcode}`)
  return query
}

const rcodeOf = (bytes: Uint8Array): number | undefined => {
  const query = readQuery(bytes)
  return query !== undefined && "rcode" in query ? query.rcode : undefined
}

const changed = (bytes: Uint8Array, at: number, ...to: ReadonlyArray<number>): Uint8Array => {
  const copy = bytes.slice()
  copy.set(to, at)
  return copy
}

describe("a DNS question", () => {
  it("is read, its name in lower case", () => {
    const query = understood(question("Web.INTERNAL", { type: "AAAA", id: 7 }))
    assert.deepInclude(query, { id: 7, labels: ["web", "internal"], type: 28, class: 1, edns: undefined })
  })

  it("keeps a dot within a label and bytes that are no letters", () => {
    const bytes = question("x")
    const odd = Uint8Array.from([...bytes.subarray(0, 12), 3, 65, 46, 200, 0, 0, 1, 0, 1])
    assert.deepStrictEqual(understood(odd).labels, ["a.\u00c8"])
  })

  it("is read with its EDNS", () => {
    const edns = {
      payload: 4_096,
      dnssecOk: true,
      options: [subnet(1, 24, 203, 0, 113), [10, [1, 2, 3, 4, 5, 6, 7, 8]], [65_001, [1]]] as const
    }
    const query = understood(question("a", { edns }))
    assert.deepInclude(query.edns, { version: 0, payloadBytes: 4_096, dnssecOk: true })
    assert.deepStrictEqual(query.edns?.subnet, { family: 1, sourcePrefix: 24, address: Uint8Array.of(203, 0, 113) })
    assert.deepStrictEqual(query.edns?.cookie, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
  })

  it("can have a name of 255 bytes, and no longer", () => {
    const label = "x".repeat(63)
    const longest = [label, label, label, "x".repeat(61)].join(".")
    assert.strictEqual(nameBytes(longest).length, 255)
    assert.strictEqual(understood(question(longest)).labels.length, 4)
    assert.strictEqual(rcodeOf(question(`${longest}x`)), RCODE.FORMERR)
    assert.strictEqual(understood(question("a.".repeat(127))).labels.length, 127)
    assert.strictEqual(rcodeOf(question("a.".repeat(128))), RCODE.FORMERR)
  })
})

describe("N2: what is no question", () => {
  const good = question("web.internal")

  it("gets no answer when it is one itself, or too short for one", () => {
    assert.isUndefined(readQuery(changed(good, 2, 0x81)))
    for (let length = 0; length < 12; length++) assert.isUndefined(readQuery(good.subarray(0, length)))
  })

  it.each<readonly [string, Uint8Array]>([
    ["is cut", good.subarray(0, good.length - 1)],
    ["is cut within its name", good.subarray(0, 15)],
    ["has more behind it", Uint8Array.of(...good, 0)],
    ["asks nothing", changed(good, 4, 0, 0)],
    ["asks two things", changed(good, 4, 0, 2)],
    ["brings an answer", changed(good, 6, 0, 1)],
    ["brings an authority", changed(good, 8, 0, 1)],
    ["promises records that are not there", changed(good, 10, 0, 1)],
    ["promises thousands", changed(good, 10, 255, 255)],
    ["points into itself for a name", changed(good, 12, 0xc0, 12)],
    ["has a label of an unknown kind", changed(good, 12, 0x43)],
    [
      "has two OPT records",
      (() => {
        const one = question("a", { edns: {} })
        return changed(Uint8Array.of(...one, ...one.subarray(19)), 11, 2)
      })()
    ],
    [
      "has an OPT record with a name",
      (() => {
        const one = question("a", { edns: {} })
        return Uint8Array.of(...one.subarray(0, 19), 1, 97, ...one.subarray(19))
      })()
    ],
    [
      "has an option longer than its record",
      (() => {
        const one = question("a", { edns: { options: [[10, [1, 2, 3, 4, 5, 6, 7, 8]]] } })
        return changed(one, one.length - 9, 9)
      })()
    ],
    ["has a cookie of 9 bytes", question("a", { edns: { options: [[10, [1, 2, 3, 4, 5, 6, 7, 8, 9]]] } })],
    ["has a cookie of 41 bytes", question("a", { edns: { options: [[10, Array.from({ length: 41 }, () => 1)]] } })],
    ["has a subnet with bits beyond its prefix", question("a", { edns: { options: [subnet(1, 23, 203, 0, 113)] } })],
    ["has a subnet of too many bytes", question("a", { edns: { options: [subnet(1, 24, 203, 0, 113, 0)] } })],
    ["has a subnet of too few bytes", question("a", { edns: { options: [subnet(1, 24, 203, 0)] } })],
    ["has a prefix longer than addresses", question("a", { edns: { options: [subnet(1, 33, 1, 2, 3, 4, 0)] } })],
    ["has a scope already", question("a", { edns: { options: [[8, [0, 1, 24, 24, 203, 0, 113]]] } })],
    ["has a subnet of an unknown family", question("a", { edns: { options: [[8, [0, 3, 0, 0]]] } })],
    ["has two subnets", question("a", { edns: { options: [subnet(1, 0), subnet(1, 0)] } })]
  ])("is a format error when it %s", (_, bytes) => {
    assert.strictEqual(rcodeOf(bytes), RCODE.FORMERR)
  })

  it("is refused as a transfer, and not implemented as another operation", () => {
    assert.strictEqual(rcodeOf(question("internal", { type: "AXFR" })), RCODE.REFUSED)
    assert.strictEqual(rcodeOf(changed(question("internal", { type: "IXFR" }), 8, 0, 1)), RCODE.REFUSED)
    for (const opcode of [1, 2, 4, 5, 6, 15]) {
      assert.strictEqual(rcodeOf(question("internal", { flags: opcode << 11 })), RCODE.NOTIMP)
    }
  })

  const seeds = [
    question("web.internal"),
    question("_web._tcp.internal", { type: "SRV", edns: { options: [subnet(1, 24, 203, 0, 113)] } }),
    question("a.b.c.d", { edns: { options: [[10, [1, 2, 3, 4, 5, 6, 7, 8]], subnet(2, 56, 32, 1, 13, 184, 0, 0, 0)] } })
  ]

  it("never is read beyond its end, whatever byte is changed and wherever it is cut", () => {
    for (const seed of seeds) {
      for (let at = 0; at < seed.length; at++) {
        readQuery(seed.subarray(0, at))
        for (let value = 0; value < 256; value++) {
          const query = readQuery(changed(seed, at, value))
          if (query !== undefined && !("rcode" in query)) {
            assert.isAtMost(query.questionEnd, seed.length)
            assert.isAtMost(
              query.labels.reduce((sum, { length }) => sum + length + 1, 1),
              255
            )
          }
        }
      }
    }
  })

  const noise = Arbitrary.array(Arbitrary.schema(between(0, 255)), { maxLength: 600 })

  it.prop("never throws on noise", [noise, Arbitrary.schema(between(0, 255))], ([bytes, flags]) => {
    readQuery(Uint8Array.from(bytes))
    // A header that passes, so that noise gets further.
    const query = readQuery(Uint8Array.from([0, 1, flags & 1, 0, 0, 1, 0, 0, 0, 0, 0, flags & 3, ...bytes]))
    assert.isDefined(query)
  })
})
