import { assert, describe, it } from "@effect/vitest"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Result from "effect/Result"
import * as addressPolicy from "../../src/backends/addressPolicy.ts"

const networks = (text: string) => text.split(",").map((each) => Result.getOrThrow(IpNetwork.fromString(each)))

const policy = (options: Partial<addressPolicy.AddressPolicyOptions> = {}) =>
  addressPolicy.make({
    allowed: networks("0.0.0.0/0,::/0"),
    loopback: true,
    listeners: [
      { address: "0.0.0.0", port: 8080 },
      { address: "10.0.0.5", port: 8081 },
      { address: "::", port: 8082 }
    ],
    hostAddresses: ["127.0.0.1", "::1", "10.0.0.5", "192.168.1.9", "fd00::9"],
    ...options
  })

const refuses = (address: string, port = 80, options: Partial<addressPolicy.AddressPolicyOptions> = {}): boolean =>
  policy(options)({ address, port }) !== undefined

describe("where a backend may live", () => {
  it.each([
    "169.254.169.254",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "localhost",
    ""
  ])("never at %j, whatever is allowed", (address) => {
    assert.isTrue(refuses(address))
  })

  it.each([
    ["127.0.0.1", 8080],
    ["127.8.8.8", 8080],
    ["192.168.1.9", 8080],
    ["10.0.0.5", 8081],
    ["::1", 8082],
    ["fd00::9", 8082],
    ["0:0:0:0:0:0:0:1", 8082]
  ])("never at the proxy's own listener: %s port %i", (address, port) => {
    assert.isTrue(refuses(address, port))
    assert.isFalse(refuses(address, 9))
  })

  it("beside a listener that is bound to one address", () => {
    assert.isFalse(refuses("192.168.1.9", 8081))
    assert.isFalse(refuses("10.0.0.6", 8080))
  })

  it("only in the networks that are allowed", () => {
    const allowed = networks("10.0.0.0/8,fd12::/16")
    assert.isFalse(refuses("10.1.2.3", 80, { allowed }))
    assert.isFalse(refuses("::ffff:10.1.2.3", 80, { allowed }))
    assert.isFalse(refuses("fd12::1", 80, { allowed }))
    for (const address of ["11.0.0.1", "8.8.8.8", "fd13::1", "::1"]) assert.isTrue(refuses(address, 80, { allowed }))
  })

  it("on loopback only where that counts", () => {
    for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
      assert.isFalse(refuses(address))
      assert.isTrue(refuses(address, 80, { loopback: false }))
    }
  })
})
