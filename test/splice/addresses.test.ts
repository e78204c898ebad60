import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { SocketAddress } from "node:net"
import { fromEndpoint, toEndpoint } from "../../layers/transport-splice/addresses.ts"
import { idOf, generationOf, slotOf, threadOf } from "../../layers/transport-splice/connectionIds.ts"
import { ADDRESS_WORDS, fromSockaddr, toSockaddr } from "../../layers/transport-splice/sockaddr.ts"
import { between, ipv4, ipv6Groups, ipv6Text } from "../support/arbitraries.ts"

const noZones = (): number => 0
const port = Arbitrary.schema(between(0, 65_535))

const through = (address: string, port: number) => {
  const words = fromEndpoint({ address, port }, noZones)
  if (words === undefined) return assert.fail(`${address} was not read`)
  const sockaddr = new Int32Array(8).fill(-1)
  const length = toSockaddr(words, 0, sockaddr)
  const back = new Int32Array(ADDRESS_WORDS + 3)
  fromSockaddr(sockaddr, back, 3)
  return { sockaddr: new Uint8Array(sockaddr.buffer), length, endpoint: toEndpoint(back, 3) }
}

describe("addresses on their way to the kernel and back", () => {
  it.prop("IPv4, in network order", [ipv4, port], ([address, port]) => {
    const { endpoint, length, sockaddr } = through(address, port)
    assert.deepStrictEqual(endpoint, { address, port })
    assert.strictEqual(length, 16)
    assert.deepStrictEqual(
      [...sockaddr.subarray(0, 8)],
      [2, 0, port >>> 8, port & 255, ...address.split(".").map(Number)]
    )
  })

  it.prop("IPv6", [ipv6Groups, port], ([groups, port]) => {
    const address = ipv6Text(groups)
    const { endpoint, length, sockaddr } = through(address, port)
    const canonical = new SocketAddress({ address: endpoint.address, family: "ipv6" }).address
    assert.strictEqual(new SocketAddress({ address, family: "ipv6" }).address, canonical)
    assert.strictEqual(endpoint.port, port)
    assert.strictEqual(length, 28)
    assert.deepStrictEqual([...sockaddr.subarray(0, 4)], [10, 0, port >>> 8, port & 255])
    assert.deepStrictEqual(
      [...sockaddr.subarray(8, 24)],
      groups.flatMap((group) => [group >>> 8, group & 255])
    )
  })

  it("IPv4 seen by an IPv6 socket is written as Node writes it", () => {
    assert.strictEqual(through("::ffff:203.0.113.7", 80).endpoint.address, "::ffff:203.0.113.7")
  })

  it("a zone becomes the interface's number, or the address is refused", () => {
    const words = fromEndpoint({ address: "fe80::1%eth7", port: 1 }, (zone) => (zone === "eth7" ? 7 : 0))
    const sockaddr = new Int32Array(8)
    toSockaddr(words ?? new Int32Array(8), 0, sockaddr)
    assert.strictEqual(sockaddr[6], 7)
    assert.isUndefined(fromEndpoint({ address: "fe80::1%nope", port: 1 }, noZones))
  })

  it.each(["", "localhost", "1.2.3", "1.2.3.4.5", "::g"])("%j is none", (address) => {
    assert.isUndefined(fromEndpoint({ address, port: 1 }, noZones))
  })
})

describe("a connection's number", () => {
  it.prop(
    "names thread, slot and generation",
    [between(0, 511), between(0, 2 ** 20 - 1), between(1, 2 ** 24 - 1)],
    ([thread, slot, generation]) => {
      const id = idOf(thread, slot, generation)
      assert.isTrue(Number.isSafeInteger(id))
      assert.deepStrictEqual([threadOf(id), slotOf(id), generationOf(id)], [thread, slot, generation])
    }
  )
})
