import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Codec } from "../../src/config/Codec.ts"
import { countryList, endpoint, geoOverrides, listenAddresses, networks, pops } from "../../src/config/networks.ts"
import { countries } from "../../src/domain/Region.ts"

const read = <A>(codec: Codec<A>, text: string): A => Result.getOrThrow(codec.decode(text))

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const octet = between(0, 255)
const segment = between(0, 0xffff)
const port = between(0, 65_535)
const ipv4 = Schema.Tuple([octet, octet, octet, octet])
// Addresses of one link are refused.
const first = segment.check(Schema.makeFilter((value: number) => (value & 0xffc0) !== 0xfe80))
const ipv6 = Schema.Tuple([first, segment, segment, segment, segment, segment, segment, segment])

const hex = (segments: ReadonlyArray<number>): string => segments.map((segment) => segment.toString(16)).join(":")

describe("endpoint", () => {
  it.prop("takes every IPv4 address and port", [ipv4, port], ([octets, port]) => {
    const text = `${octets.join(".")}:${port}`
    assert.deepStrictEqual(read(endpoint, text), { address: octets.join("."), port })
    assert.strictEqual(endpoint.encode(read(endpoint, text)), text)
  })

  it.prop("takes every IPv6 address in brackets, and shortens it", [ipv6, port], ([segments, port]) => {
    const value = read(endpoint, `[${hex(segments)}]:${port}`)
    assert.strictEqual(value.port, port)
    assert.deepStrictEqual(
      NetAddress.ipv6ToSegments(Result.getOrThrow(NetAddress.ipv6FromString(value.address))),
      segments
    )
    assert.deepStrictEqual(read(endpoint, endpoint.encode(value)), value)
  })

  it.each([
    "",
    "8080",
    ":8080",
    "0.0.0.0",
    "0.0.0.0:",
    "0.0.0.0:65536",
    "0.0.0.0:-1",
    "0.0.0.0:http",
    "0.0.0.0:08",
    "010.0.0.1:80",
    "256.0.0.1:80",
    "1.2.3:80",
    "localhost:80",
    "*:80",
    "::1:80",
    "[::1]",
    "[::1]80",
    "[1.2.3.4]:80",
    "[::g]:80",
    "[fe80::1]:80",
    "[fe80::1%3]:80",
    "[fe80::1%eth0]:80",
    "[febf:ffff::]:80",
    "[2001:db8::1%eth0]:80"
  ])("%j is an error", (text) => {
    assert.deepStrictEqual(
      endpoint.decode(text),
      Result.fail("IPv4:port or [IPv6]:port, port from 0 to 65535, not link-local")
    )
  })
})

describe("listenAddresses", () => {
  it("takes several, with and without an app (R8)", () => {
    const text = "0.0.0.0:8080, [::]:5432=pg,127.0.0.1:0 = my app"
    assert.deepStrictEqual(read(listenAddresses, text), [
      { address: "0.0.0.0", port: 8080, app: undefined },
      { address: "::", port: 5432, app: "pg" },
      { address: "127.0.0.1", port: 0, app: "my app" }
    ])
    assert.strictEqual(
      listenAddresses.encode(read(listenAddresses, text)),
      "0.0.0.0:8080,[::]:5432=pg,127.0.0.1:0=my app"
    )
  })

  it.each([
    ["", ""],
    ["  ", ""],
    ["0.0.0.0:80,", '; "" is none'],
    ["0.0.0.0:80=", '; "0.0.0.0:80=" is none'],
    ["0.0.0.0:80,nowhere:1=pg", '; "nowhere:1=pg" is none'],
    [`0.0.0.0:80=${"é".repeat(65)}`, `; "0.0.0.0:80=${"é".repeat(65)}" is none`]
  ])("%j is an error", (text, fault) => {
    assert.deepStrictEqual(
      listenAddresses.decode(text),
      Result.fail(
        `IPv4:port or [IPv6]:port with commas between, port from 0 to 65535, not link-local, =app may follow${fault}`
      )
    )
  })
})

describe("networks", () => {
  it.prop("take every IPv4 network", [ipv4, between(0, 32)], ([octets, prefix]) => {
    const ip = NetAddress.ipv4FromBytesUnsafe(new Uint8Array(octets))
    const network = Result.getOrThrow(IpNetwork.fromAddress(ip, prefix))
    const decoded = read(networks, ` ${IpNetwork.format(network)} `)
    assert.strictEqual(networks.encode(decoded), IpNetwork.format(network))
    assert.isTrue(decoded.every((network) => IpNetwork.contains(network, ip)))
  })

  it("take a bare address as the network of one", () => {
    assert.strictEqual(networks.encode(read(networks, "192.0.2.7,2001:db8::1")), "192.0.2.7/32,2001:db8::1/128")
    assert.deepStrictEqual(read(networks, ""), [])
  })

  it.each([
    "10.0.0.0/33",
    "10.0.0.1/8",
    "2001:db8::/129",
    "2001:db8::1/64",
    "10.0.0.0/",
    "/8",
    "all",
    "10.0.0.0-10.0.0.9"
  ])("%j is an error", (text) => {
    assert.deepStrictEqual(
      networks.decode(`10.0.0.0/8,${text}`),
      Result.fail(`networks with commas between, such as 10.0.0.0/8,2001:db8::/32; ${JSON.stringify(text)} is none`)
    )
  })
})

describe("geoOverrides", () => {
  it.prop("take every country", [between(0, countries.length - 1), octet], ([at, octet]) => {
    const country = countries[at] ?? ""
    const [override] = read(geoOverrides, `10.${octet}.0.0/16=${country.toLowerCase()}`)
    assert.isDefined(override)
    assert.strictEqual(override[1], country)
    assert.strictEqual(IpNetwork.format(override[0]), `10.${octet}.0.0/16`)
  })

  it("take a list", () => {
    const text = "127.0.1.0/24=BR,10.9.0.0/16=DE,2001:db8::/32=JP"
    assert.strictEqual(geoOverrides.encode(read(geoOverrides, text)), text)
  })

  it.each([
    "127.0.1.0/24",
    "127.0.1.0/24=",
    "127.0.1.0/24=XX",
    "127.0.1.0/24=BRA",
    "=BR",
    "127.0.1.7/24=BR",
    "BR=127.0.1.0/24"
  ])("%j is an error", (text) => {
    assert.isTrue(Result.isFailure(geoOverrides.decode(text)))
  })

  it("take a network once only", () => {
    assert.deepStrictEqual(
      geoOverrides.decode("10.0.0.0/8=BR,10.0.0.0/8=DE"),
      Result.fail(
        'network=country with commas between, such as 10.9.0.0/16=DE,2001:db8::/32=BR; "10.0.0.0/8" only once'
      )
    )
  })
})

describe("countryList", () => {
  it("takes any case, and countries only", () => {
    assert.deepStrictEqual(countryList.encode(read(countryList, "br, DE")), "BR,DE")
    assert.isTrue(Result.isFailure(countryList.decode("BR,EU")))
  })
})

describe("pops", () => {
  it("takes regions with addresses of both families", () => {
    const text = "sa=203.0.113.1|2001:db8::1,us=198.51.100.1"
    const value = read(pops, text)
    assert.deepStrictEqual(
      value.map(([region, addresses]) => [region, addresses.map(NetAddress.formatIp)]),
      [
        ["sa", ["203.0.113.1", "2001:db8::1"]],
        ["us", ["198.51.100.1"]]
      ]
    )
    assert.strictEqual(pops.encode(value), text)
  })

  it.each(["sa", "sa=", "sa=203.0.113.1|", "mars=203.0.113.1", "sa=203.0.113.1:80", "sa=203.0.113.1,sa=203.0.113.2"])(
    "%j is an error",
    (text) => {
      assert.isTrue(Result.isFailure(pops.decode(text)))
    }
  )
})
