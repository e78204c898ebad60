import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import { Reader } from "maxmind"
import { writeMmdb } from "./mmdb.ts"

type Options = Parameters<typeof writeMmdb>[0]
type Records = Options["records"]

// The reader's type parameter is the shape of MaxMind's own products; what comes back here is whatever was written.
const read = (records: Records, options?: Partial<Options>) => {
  const bytes = writeMmdb({ databaseType: "Test-Country", records, ipVersion: 6, ...options })
  const reader = new Reader(Buffer.from(bytes))
  return { get: (ip: string): unknown => reader.get(ip), metadata: reader.metadata, bytes }
}

const roundTrip = (value: unknown): unknown => read([{ cidr: "::/0", value }]).get("2001:db8::1")

describe("what is written can be read", () => {
  it("finds nested and flat countries, of IPv4 and of IPv6", () => {
    for (const recordSize of [24, 28] as const) {
      const { get, metadata } = read(
        [
          { cidr: "200.147.0.0/16", value: { country: { iso_code: "BR" } } },
          { cidr: "8.8.8.8/32", value: { country_code: "US" } },
          { cidr: "2001:db8::/32", value: { country: { iso_code: "DE" } } },
          { cidr: "2804::/16", value: { country_code: "BR" } }
        ],
        { recordSize }
      )
      assert.strictEqual(metadata.recordSize, recordSize)
      assert.deepStrictEqual(get("200.147.3.1"), { country: { iso_code: "BR" } })
      assert.deepStrictEqual(get("::200.147.3.1"), { country: { iso_code: "BR" } })
      assert.deepStrictEqual(get("8.8.8.8"), { country_code: "US" })
      assert.deepStrictEqual(get("2001:db8:ffff::1"), { country: { iso_code: "DE" } })
      assert.deepStrictEqual(get("2804:14d::1"), { country_code: "BR" })
      for (const ip of ["200.146.255.255", "200.148.0.0", "8.8.8.9", "127.0.0.1", "2001:db9::", "2805::", "::1"]) {
        assert.isNull(get(ip), ip)
      }
    }
  })

  it("knows nothing without records", () => {
    const { get } = read([])
    assert.isNull(get("1.2.3.4"))
    assert.isNull(get("2001:db8::1"))
  })

  it("keeps the value of a network around a more specific one, in any order", () => {
    const records = [
      { cidr: "10.1.2.0/24", value: "specific" },
      { cidr: "0.0.0.0/0", value: "default" },
      { cidr: "10.1.0.0/16", value: "wide" }
    ]
    for (const ordered of [records, records.toReversed()]) {
      const { get } = read(ordered)
      assert.strictEqual(get("10.1.2.255"), "specific")
      assert.strictEqual(get("10.1.3.0"), "wide")
      assert.strictEqual(get("10.2.0.0"), "default")
      assert.isNull(get("2001:db8::1"))
    }
  })

  const Entry = Schema.Struct({
    v6: Schema.Boolean,
    low: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })),
    host: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
  })
  const address = ({ v6, low }: typeof Entry.Type) =>
    NetAddress.ipFromStringUnsafe(v6 ? `2001:db8::${low.toString(16)}` : `203.0.113.${low}`)

  it.prop(
    "answers as a search for the longest prefix does",
    [Schema.Array(Entry), Schema.Array(Entry)],
    ([entries, asked]) => {
      const networks = entries.map((entry) => {
        const ip = address(entry)
        return IpNetwork.fromAddressUnsafe(ip, NetAddress.width(ip) - entry.host)
      })
      const { get } = read(networks.map((network, value) => ({ cidr: IpNetwork.format(network), value })))
      for (const ip of [...entries, ...asked].map(address)) {
        let best = -1
        networks.forEach((network, index) => {
          if (IpNetwork.contains(network, ip) && network.prefixLength >= (networks[best]?.prefixLength ?? 0))
            best = index
        })
        assert.strictEqual(get(NetAddress.formatIp(ip)), best === -1 ? null : best)
      }
    }
  )
})

describe("values", () => {
  it("round-trip with their type", () => {
    const value = {
      text: "São Paulo",
      empty: "",
      yes: true,
      no: false,
      zero: 0,
      byte: 255,
      short: 65_536,
      uint32: 2 ** 32 - 1,
      uint64: 2n ** 64n - 1n,
      uint128: 2n ** 128n - 1n,
      negative: -5,
      lowest: -(2 ** 31),
      latitude: -23.5475,
      tiny: 5e-324,
      list: ["a", 1, { deep: [true, []] }],
      none: {}
    }
    assert.deepStrictEqual(roundTrip(value), value)
    assert.strictEqual(roundTrip(2 ** 32), 2n ** 32n)
  })

  it.each([28, 29, 284, 285, 65_820, 65_821, 70_000])("a string of %d bytes", (size) => {
    assert.strictEqual(roundTrip("x".repeat(size)), "x".repeat(size))
  })

  it("maps and arrays of more than 28 entries", () => {
    const list = Array.from({ length: 300 }, (_, n) => n)
    const value = { list, ...Object.fromEntries(list.map((n) => [`key ${n}`, n])) }
    assert.deepStrictEqual(roundTrip(value), value)
  })

  it.each([null, undefined, Symbol("s"), () => 1, { country: null }])("refuses %s", (value) => {
    assert.throws(() => roundTrip(value), TypeError, "MMDB cannot hold")
  })

  it("stores equal values once", () => {
    const value = { country: { iso_code: "BR" } }
    const one = read([{ cidr: "10.0.0.0/9", value }])
    const two = read([
      { cidr: "10.0.0.0/9", value },
      { cidr: "10.128.0.0/9", value: structuredClone(value) }
    ])
    assert.strictEqual(two.bytes.length, one.bytes.length)
  })
})

describe("the file", () => {
  it("says what it is", () => {
    const { metadata } = read([{ cidr: "8000::/1", value: "x" }], { buildEpoch: 1_750_000_000 })
    assert.deepInclude(metadata, {
      binaryFormatMajorVersion: 2,
      binaryFormatMinorVersion: 0,
      buildEpoch: new Date(1_750_000_000_000),
      databaseType: "Test-Country",
      ipVersion: 6,
      nodeCount: 1,
      recordSize: 24
    })
  })

  it("has the layout of the format, byte for byte", () => {
    const { bytes } = read([{ cidr: "8000::/1", value: { a: 1 } }])
    const tree = [0, 0, 1, 0, 0, 1 + 16]
    const data = [0xe1, 0x41, 0x61, 0xc1, 1]
    assert.deepStrictEqual([...bytes.subarray(0, 27)], [...tree, ...Array<number>(16).fill(0), ...data])
    assert.strictEqual(Buffer.from(bytes.subarray(27, 41)).toString("latin1"), "\xab\xcd\xefMaxMind.com")
  })

  it("refuses networks with host bits, and records that do not fit", () => {
    assert.throws(() => read([{ cidr: "10.0.0.1/8", value: 1 }]), "host bits")
    const large = [
      { cidr: "10.128.0.0/9", value: "x".repeat(2 ** 24) },
      { cidr: "10.0.0.0/9", value: "beyond 24 bits" },
      { cidr: "11.0.0.0/8", value: "further" }
    ]
    assert.throws(() => read(large), RangeError, "24 bits")
    const { get } = read(large, { recordSize: 28 })
    assert.strictEqual(get("10.0.0.1"), "beyond 24 bits")
    assert.strictEqual(String(get("10.128.0.1")).length, 2 ** 24)
    assert.strictEqual(get("11.0.0.1"), "further")
    assert.isNull(get("12.0.0.1"))
    assert.throws(() => read([{ cidr: "::/0", value: "x".repeat(2 ** 24 + 65_821) }]), RangeError, "in one value")
  })
})
