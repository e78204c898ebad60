import { assert, describe, it } from "@effect/vitest"
import * as Equal from "effect/Equal"
import { affinityHash, clientFromText, formatClientKey } from "../../src/domain/Client.ts"
import { hashText } from "../../src/domain/Hash.ts"
import { between, ipv4, ipv6Groups, ipv6Text } from "../support/arbitraries.ts"
import { client } from "../support/fixtures.ts"

/** IPv4-mapped addresses are IPv4. */
const isMapped = (groups: ReadonlyArray<number>): boolean =>
  groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff

describe("A1: the client as the proxy sees it", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7", "203.0.113.7"],
    ["0.0.0.0", "0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255", "255.255.255.255"],
    ["::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"],
    ["::ffff:cb00:7107", "203.0.113.7", "203.0.113.7"],
    ["2001:DB8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8::1", "2001:db8::/64"],
    ["fe80::1%eth0", "fe80::1", "fe80::/64"],
    ["fe80::1%3", "fe80::1", "fe80::/64"],
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::/64"],
    ["::1", "::1", "::/64"]
  ])("%s is %s, its key %s", (text, address, key) => {
    assert.strictEqual(client(text).address, address)
    assert.strictEqual(formatClientKey(client(text).key), key)
  })

  it.each([
    "",
    "localhost",
    "203.0.113",
    "203.0.113.7.1",
    "203.0.113.",
    ".0.113.7",
    "203..113.7",
    "203.0.113.256",
    "203.0.113.07",
    "00.0.0.0",
    "203.0.113.a",
    "203.0.113.7:80",
    "[::1]",
    "::1::",
    "%eth0"
  ])("%j is no client", (text) => {
    assert.isUndefined(clientFromText(text))
  })
})

describe("A1: the client key", () => {
  it.prop("the short way of reading IPv4 gives what the long way gives", [ipv4], ([text]) => {
    const [short, long] = [client(text), client(`::ffff:${text}`)]
    assert.isTrue(Equal.equals(short.ip, long.ip))
    assert.deepStrictEqual([short.address, short.key], [long.address, long.key])
  })

  it.prop("two IPv4 addresses share a key only when they are the same", [ipv4, ipv4], ([a, b]) => {
    assert.strictEqual(formatClientKey(client(a).key) === formatClientKey(client(b).key), a === b)
    assert.deepStrictEqual(client(a).key, client(`::ffff:${a}`).key)
    assert.strictEqual(formatClientKey(client(a).key), a)
  })

  it.prop(
    "two IPv6 addresses share a key just when their first 64 bits are equal",
    { first: ipv6Groups, second: ipv6Groups, shared: between(0, 8) },
    ({ first, second, shared }) => {
      const other = [...first.slice(0, shared), ...second.slice(shared)]
      if (isMapped(first) || isMapped(other)) return
      const same = first.slice(0, 4).every((group, at) => group === other[at])
      const [a, b] = [client(ipv6Text(first)).key, client(ipv6Text(other)).key]
      assert.strictEqual(a.family === b.family && a.hi === b.hi && a.lo === b.lo, same)
      assert.strictEqual(formatClientKey(a) === formatClientKey(b), same)
    },
    { arbitrary: { runs: 500 } }
  )

  it("tells an IPv4 address from the IPv6 network with the same bits", () => {
    const four = client("0.0.0.1").key
    const six = client("0:0:0:1::").key
    assert.deepStrictEqual([four.hi, four.lo], [six.hi, six.lo])
    assert.notStrictEqual(formatClientKey(four), formatClientKey(six))
    assert.notStrictEqual(affinityHash(four, 0), affinityHash(six, 0))
  })
})

describe("R7: the affinity hash is the same at every POP, for good", () => {
  it.each([
    ["203.0.113.7", "*", 101_608_983],
    ["203.0.113.7", "web", 2_383_343_556],
    ["2001:db8:1:2::1", "web", 2_270_754_597],
    ["fe80::1", "*", 3_869_836_471],
    ["::1", "*", 2_294_457_512]
  ])("%s and app %s", (address, app, expected) => {
    assert.strictEqual(affinityHash(client(address).key, hashText(app)), expected)
  })
})
