import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as NetworkSet from "../../src/domain/NetworkSet.ts"
import { between, ipv6Text, oneOf } from "../support/arbitraries.ts"
import { client } from "../support/fixtures.ts"

const network = (text: string): IpNetwork.IpNetwork => Result.getOrThrow(IpNetwork.fromString(text))

const setOf = (...texts: ReadonlyArray<string>) => NetworkSet.make(texts.map(network))

// Few bits, so that networks and addresses meet.
const near = oneOf([0, 1, 2, 0x80, 0xff])
const near16 = oneOf([0, 1, 0x8000, 0xffff])

const addressV4 = Arbitrary.map(Arbitrary.array(near, { minLength: 4, maxLength: 4 }), (octets) => octets.join("."))
const addressV6 = Arbitrary.map(Arbitrary.array(near16, { minLength: 7, maxLength: 7 }), (groups) =>
  ipv6Text([0x2001, ...groups])
)
const address = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(between(0, 1)), addressV4, addressV6]),
  ([family, four, six]) => (family === 0 ? four : six)
)
const networks = Arbitrary.map(
  Arbitrary.all([address, Arbitrary.schema(between(0, 128))]),
  ([text, bits]): IpNetwork.IpNetwork => {
    const ip = Result.getOrThrow(NetAddress.ipFromString(text))
    const length = NetAddress.isIpv4Address(ip) ? bits % 33 : bits
    return Result.getOrThrow(IpNetwork.fromAddress(ip, length))
  }
)

describe("a set of networks", () => {
  it.prop(
    "has an address just when one of its networks contains it",
    [
      Arbitrary.array(networks, { minLength: 0, maxLength: 12 }),
      Arbitrary.array(address, { minLength: 1, maxLength: 30 })
    ],
    ([list, addresses]) => {
      const set = NetworkSet.make(list)
      for (const text of addresses) {
        const { ip } = client(text)
        const expected = list.some((each) => each.address._tag === ip._tag && IpNetwork.contains(each, ip))
        assert.strictEqual(set.has(client(text)), expected, `${text} in ${list.map(IpNetwork.format).join(" ")}`)
      }
    }
  )

  it("knows the first and the last address of a network from their neighbours", () => {
    const set = setOf("10.0.0.0/8", "192.0.2.128/25", "198.51.100.7/32", "2001:db8::/33", "fd00::1/128")
    for (const [text, inside] of [
      ["9.255.255.255", false],
      ["10.0.0.0", true],
      ["10.255.255.255", true],
      ["11.0.0.0", false],
      ["192.0.2.127", false],
      ["192.0.2.128", true],
      ["192.0.2.255", true],
      ["192.0.3.0", false],
      ["198.51.100.6", false],
      ["198.51.100.7", true],
      ["198.51.100.8", false],
      ["255.255.255.255", false],
      ["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false],
      ["2001:db8::", true],
      ["2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", true],
      ["2001:db8:8000::", false],
      ["fd00::", false],
      ["fd00::1", true],
      ["fd00::2", false]
    ] as const) {
      assert.strictEqual(set.has(client(text)), inside, text)
    }
  })

  it("has the whole of a family, and none of the other", () => {
    assert.isTrue(setOf("0.0.0.0/0").has(client("255.255.255.255")))
    assert.isFalse(setOf("0.0.0.0/0").has(client("::1")))
    assert.isTrue(setOf("::/0").has(client("ffff::")))
    assert.isFalse(setOf("::/0").has(client("10.0.0.1")))
    assert.isFalse(setOf().has(client("10.0.0.1")))
  })

  it("takes a network of IPv4-mapped addresses for the IPv4 network", () => {
    const set = setOf("::ffff:10.0.0.0/104")
    assert.isTrue(set.has(client("10.200.0.1")))
    assert.isTrue(set.has(client("::ffff:10.200.0.1")))
    assert.isFalse(set.has(client("11.0.0.1")))
  })

  it("leaves out what lies in another network", () => {
    assert.strictEqual(setOf("10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.255.0.0/16", "11.0.0.0/8").size, 2)
  })

  it("of ten thousand networks answers in some microseconds", () => {
    const list = Array.from({ length: 10_000 }, (_, index) =>
      network(`${11 + (index >>> 12)}.${(index >>> 4) & 255}.${(index & 15) * 16}.0/21`)
    )
    const set = NetworkSet.make(list)
    const clients = Array.from({ length: 1_000 }, (_, index) =>
      client(`${11 + (index % 4)}.${index & 255}.${index % 251}.7`)
    )
    const started = performance.now()
    let inside = 0
    for (let round = 0; round < 100; round++) for (const each of clients) inside += set.has(each) ? 1 : 0
    assert.isAbove(inside, 0)
    // 100,000 questions; looking through the list would take a hundred times as long.
    assert.isBelow(performance.now() - started, 1_000)
  })
})
