import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import { crc32c } from "../../src/domain/Crc32c.ts"
import { type Ends, isHeader, parse, type ProxyHeader } from "../../src/domain/ProxyProtocol.ts"
import { encodeV1 } from "../../src/domain/ProxyProtocolV1.ts"
import { encodeV2, localHeader } from "../../src/domain/ProxyProtocolV2.ts"
import { AUTHORITY, CRC32C, NOOP, SSL, UNIQUE_ID } from "../../src/domain/Tlv.ts"
import { between, ipv4, ipv6Groups, ipv6Text } from "../support/arbitraries.ts"
import { inet6, tlv, v1, v2 } from "../support/proxyHeader.ts"

const ip = (text: string) => NetAddress.toCanonical(Result.getOrThrow(NetAddress.ipFromString(text)))
const at = (address: string, port: number) => ({ ip: ip(address), port })

const headerOf = (bytes: Uint8Array): ProxyHeader => {
  const parsed = parse(bytes)
  if (parsed._tag !== "Header") throw new Error(`${parsed._tag} ${outcome(bytes)}`)
  return parsed.header
}

/** The reason when it is malformed. */
const outcome = (bytes: Uint8Array, finished?: boolean): string => {
  const parsed = parse(bytes, finished)
  return parsed._tag === "Malformed" ? parsed.reason : parsed._tag
}

const text = (ends: Ends | undefined): string | undefined =>
  ends && [ends.source, ends.destination].map((end) => `${NetAddress.formatIp(end.ip)} ${end.port}`).join(" > ")

const four = "203.0.113.7 50000 > 198.51.100.1 443"
const six = "2001:db8::7 50000 > 2001:db8::1 443"

describe("a header of version 1", () => {
  it("names both ends", () => {
    assert.strictEqual(text(headerOf(v1("TCP4 203.0.113.7 198.51.100.1 50000 443")).ends), four)
    assert.strictEqual(text(headerOf(v1("TCP6 2001:DB8::7 2001:0db8:0:0:0:0:0:1 50000 443")).ends), six)
    assert.strictEqual(
      text(headerOf(v1("TCP4 0.0.0.0 255.255.255.255 0 65535")).ends),
      "0.0.0.0 0 > 255.255.255.255 65535"
    )
    assert.strictEqual(text(headerOf(v1("TCP6 ::ffff:203.0.113.7 ::1 1 2")).ends), "203.0.113.7 1 > ::1 2")
  })

  it("may name nobody, whatever else it says", () => {
    for (const line of ["UNKNOWN", "UNKNOWN 1 2 3 4", `UNKNOWN ${"f".repeat(91)}`]) {
      const header = headerOf(Buffer.concat([v1(line), Buffer.from("GET /")]))
      assert.deepStrictEqual(header, { version: 1, length: line.length + 8, ends: undefined, tlvs: [] })
    }
  })

  it("ends at its line end, and not with what follows", () => {
    const bytes = Buffer.concat([v1("TCP4 203.0.113.7 198.51.100.1 50000 443"), Buffer.from("GET / HTTP/1.1\r\n")])
    assert.strictEqual(headerOf(bytes).length, 47)
  })

  it.each([
    "",
    "TCP4",
    "TCP5 1.2.3.4 1.2.3.4 1 2",
    "tcp4 1.2.3.4 1.2.3.4 1 2",
    "UDP4 1.2.3.4 1.2.3.4 1 2",
    "UNKNOWNX",
    "TCP4 1.2.3.4 1.2.3.4 1",
    "TCP4 1.2.3.4 1.2.3.4 1 2 3",
    "TCP4 1.2.3.4 1.2.3.4 1 2 ",
    "TCP4  1.2.3.4 1.2.3.4 1 2",
    "TCP4 1.2.3 1.2.3.4 1 2",
    "TCP4 01.2.3.4 1.2.3.4 1 2",
    "TCP4 1.2.3.256 1.2.3.4 1 2",
    "TCP4 ::1 1.2.3.4 1 2",
    "TCP6 1.2.3.4 ::1 1 2",
    "TCP6 fe80::1%eth0 ::1 1 2",
    "TCP6 ::1::2 ::1 1 2",
    "TCP4 1.2.3.4 1.2.3.4 01 2",
    "TCP4 1.2.3.4 1.2.3.4 1 65536",
    "TCP4 1.2.3.4 1.2.3.4 -1 2",
    "TCP4 1.2.3.4 1.2.3.4 1e1 2",
    "TCP4 1.2.3.4 1.2.3.4 1 2\r",
    "TCP4 1.2.3.4\n 1.2.3.4 1 2"
  ])("is refused with other words: %j", (line) => {
    assert.strictEqual(outcome(v1(line)), "line")
  })

  it("is refused when its line has no end within 107 bytes, and before a line feed alone", () => {
    const long = Buffer.from(`PROXY UNKNOWN ${"x".repeat(200)}\r\n`)
    assert.strictEqual(outcome(long.subarray(0, 106)), "More")
    assert.strictEqual(outcome(long.subarray(0, 107)), "line")
    assert.strictEqual(outcome(Buffer.from("PROXY UNKNOWN\n")), "line")
    assert.strictEqual(outcome(Buffer.from("PROXY \n")), "line")
  })
})

describe("a header of version 2", () => {
  it("names both ends", () => {
    assert.strictEqual(text(headerOf(v2()).ends), four)
    assert.strictEqual(text(headerOf(v2({ family: 0x21, addresses: inet6 })).ends), six)
    const mapped = [...Array<number>(10).fill(0), 255, 255, 203, 0, 113, 7, ...inet6.slice(16)]
    assert.strictEqual(
      text(headerOf(v2({ family: 0x21, addresses: mapped })).ends),
      "203.0.113.7 50000 > 2001:db8::1 443"
    )
  })

  it("names nobody when it is the proxy's own, of an unknown family, or of no TCP", () => {
    const unix = { family: 0x31, addresses: Array<number>(216).fill(47) }
    const nobody = [
      { command: 0x20 },
      { command: 0x20, family: 0 },
      { command: 0x20, family: 0xff, rest: [1, 2, 3] },
      { command: 0x20, addresses: [] },
      { family: 0, addresses: [] },
      { family: 0, rest: [9, 9, 9, 9] },
      { family: 0x01 },
      { family: 0x10 },
      { family: 0x12 },
      { family: 0x22, addresses: inet6 },
      unix,
      { ...unix, family: 0x32 }
    ]
    for (const parts of nobody) {
      const bytes = v2(parts)
      assert.deepStrictEqual(
        [headerOf(bytes).ends, headerOf(bytes).length],
        [undefined, bytes.length],
        JSON.stringify(parts).slice(0, 80)
      )
    }
    assert.deepStrictEqual(headerOf(localHeader), { version: 2, length: 16, ends: undefined, tlvs: [] })
  })

  it("may bring more, and what follows it is none of that", () => {
    const ssl = [5, 0, 0, 0, 0, ...tlv(0x21, "TLSv1.3"), ...tlv(0x22, "client.example")]
    const rest = [
      ...tlv(NOOP, [0, 0]),
      ...tlv(1, "h2"),
      ...tlv(AUTHORITY, "a.example"),
      ...tlv(UNIQUE_ID, "u-1"),
      ...tlv(SSL, ssl),
      ...tlv(0xe0, "BR"),
      ...tlv(0x77, "")
    ]
    const header = headerOf(Buffer.concat([v2({ rest }), Buffer.from([1, 255, 255])]))
    assert.strictEqual(header.length, 28 + rest.length)
    assert.deepStrictEqual(
      header.tlvs.map(({ type, value }) => [type, type === SSL ? "" : Buffer.from(value).toString()]),
      [
        [NOOP, "\0\0"],
        [1, "h2"],
        [AUTHORITY, "a.example"],
        [UNIQUE_ID, "u-1"],
        [SSL, ""],
        [0xe0, "BR"],
        [0x77, ""]
      ]
    )
  })

  it("is refused with a checksum that is wrong, and taken with the right one, wherever it is", () => {
    const before = tlv(AUTHORITY, "a.example")
    const after = tlv(NOOP, [7])
    const bytes = v2({ rest: [...before, ...tlv(CRC32C, [0, 0, 0, 0]), ...after] })
    const sum = crc32c(bytes)
    const place = 28 + before.length + 3
    bytes.set([sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255], place)
    assert.strictEqual(outcome(bytes), "Header")
    // What follows is not part of it.
    assert.strictEqual(outcome(Buffer.concat([bytes, Buffer.from("GET /")])), "Header")
    for (let index = 16; index < bytes.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const bad = Uint8Array.from(bytes)
        bad[index] = (bad[index] ?? 0) ^ (1 << bit)
        // Unless it is no checksum any more that was hit.
        const type = index === place - 3
        if (!type) assert.notStrictEqual(outcome(bad), "Header", `${index} ${bit}`)
      }
    }
  })

  it.each([
    ["version", { command: 0x11 }],
    ["version", { command: 0x31 }],
    ["command", { command: 0x22 }],
    ["command", { command: 0x2f }],
    ["family", { family: 0x41 }],
    ["family", { family: 0x13 }],
    ["family", { family: 0x1f }],
    ["length", { addresses: [1, 2, 3, 4] }],
    ["length", { family: 0x21 }],
    ["length", { family: 0x31, addresses: inet6 }],
    ["tlv", { rest: [1] }],
    ["tlv", { rest: [1, 0] }],
    ["tlv", { rest: [1, 0, 1] }],
    ["tlv", { rest: [...tlv(1, "h2"), 0] }],
    ["tlv", { rest: tlv(CRC32C, [1, 2, 3]) }],
    ["tlv", { rest: tlv(UNIQUE_ID, Array<number>(129).fill(65)) }],
    ["tlv", { rest: tlv(SSL, [1, 0, 0, 0]) }],
    ["tlv", { rest: tlv(SSL, [1, 0, 0, 0, 0, 0x21, 0, 9, 1]) }],
    ["too-long", { length: 16_369 }],
    ["too-long", { command: 0x20, length: 65_535 }]
  ] as const)("is refused: %s, %j", (reason, parts) => {
    assert.strictEqual(outcome(v2(parts)), reason)
  })

  it("may take 16 kB in all", () => {
    const bytes = v2({ rest: tlv(NOOP, Array<number>(16_384 - 31).fill(0)) })
    assert.strictEqual(headerOf(bytes).length, 16_384)
  })
})

describe("a header", () => {
  const complete: ReadonlyArray<Uint8Array> = [
    v1("TCP4 203.0.113.7 198.51.100.1 50000 443"),
    v1("TCP6 2001:db8::7 2001:db8::1 50000 443"),
    v1("UNKNOWN"),
    v2({ rest: tlv(NOOP, "xyz") }),
    v2({ family: 0x21, addresses: inet6 }),
    v2({ command: 0x20, family: 0, addresses: [] }),
    v2({ family: 0x31, addresses: Array<number>(216).fill(1) })
  ]

  it("is waited for as long as it is incomplete, cut at any byte, and not a byte longer", () => {
    for (const bytes of complete) {
      for (let cut = 0; cut < bytes.length; cut++) {
        const part = bytes.subarray(0, cut)
        assert.strictEqual(outcome(part), "More")
        assert.strictEqual(outcome(part, true), isHeader(part) ? "cut" : "None")
      }
      assert.strictEqual(headerOf(bytes).length, bytes.length)
      assert.strictEqual(outcome(bytes, true), "Header")
    }
  })

  it("is none when the first bytes begin otherwise", () => {
    for (const other of [
      "GET / HTTP/1.1",
      "PROXYTCP4",
      "proxy TCP4",
      "PRI * HTTP/2.0",
      "\r\n\r\nx",
      "\x16\x03\x01",
      "\0"
    ]) {
      assert.strictEqual(outcome(Buffer.from(other, "latin1")), "None")
      assert.isFalse(isHeader(Buffer.from(other, "latin1")))
    }
    assert.strictEqual(outcome(new Uint8Array(0)), "More")
    assert.strictEqual(outcome(new Uint8Array(0), true), "None")
  })

  it("with any byte changed never throws, and is never waited for beyond its limit", () => {
    const tail = new Uint8Array(16_384).fill(0x41)
    for (const bytes of complete) {
      for (let index = 0; index < bytes.length; index++) {
        for (const value of [0, 1, 0x0a, 0x0d, 0x20, 0x30, 0x7f, 0x80, 0xff]) {
          const bad = Uint8Array.from(bytes)
          bad[index] = value
          assert.notStrictEqual(parse(bad, true)._tag, "More")
        }
        const bad = Buffer.concat([bytes, tail])
        bad[index] = (bad[index] ?? 0) ^ 0x55
        assert.notStrictEqual(parse(bad)._tag, "More")
      }
    }
  })
})

describe("a header that was written", () => {
  const port = between(0, 65_535)

  it.prop("is read back, of IPv4", [ipv4, ipv4, port, port], ([from, to, fromPort, toPort]) => {
    const ends = { source: at(from, fromPort), destination: at(to, toPort) }
    const tlvs = [{ type: 0xe0, value: Buffer.from("BR") }]
    const first = headerOf(encodeV1(ends))
    const second = headerOf(encodeV2(ends, tlvs))
    for (const header of [first, second]) assert.strictEqual(text(header.ends), text(ends))
    assert.deepStrictEqual(
      second.tlvs.map(({ type }) => type),
      [0xe0, CRC32C]
    )
  })

  it.prop("is read back, of IPv6 or both", [ipv6Groups, ipv4, port, port], ([groups, to, fromPort, toPort]) => {
    for (const other of [to, "2001:db8::1"]) {
      const one = at(ipv6Text(groups), fromPort)
      const two = at(other, toPort)
      for (const ends of [
        { source: one, destination: two },
        { source: two, destination: one }
      ]) {
        for (const bytes of [encodeV1(ends), encodeV2(ends, [])])
          assert.strictEqual(text(headerOf(bytes).ends), text(ends))
        assert.isAtMost(encodeV1(ends).length, 107)
      }
    }
  })

  it("has one family: IPv4 beside IPv6 is IPv4-mapped", () => {
    const ends = { source: at("203.0.113.7", 1), destination: at("2001:db8::1", 2) }
    assert.strictEqual(Buffer.from(encodeV1(ends)).toString(), "PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 1 2\r\n")
    const bytes = encodeV2(ends, [])
    assert.deepStrictEqual([bytes[13], bytes.length], [0x21, 16 + 36 + 7])
    assert.strictEqual(Buffer.from(bytes.subarray(16, 32)).toString("hex"), "00000000000000000000ffffcb007107")
  })
})

describe("CRC32c", () => {
  it("is that of RFC 3720, B.4", () => {
    assert.strictEqual(crc32c(new Uint8Array(32)), 0x8a9136aa)
    assert.strictEqual(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43)
    assert.strictEqual(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
    assert.strictEqual(crc32c(Buffer.from("123456789")), 0xe3069283)
  })

  it("counts the place of the checksum as zero", () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, index) => (index < 10 || index > 13 ? 0 : 99))
    assert.strictEqual(crc32c(bytes, 10), 0x8a9136aa)
  })
})
