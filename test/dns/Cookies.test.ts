import { assert, describe, it } from "@effect/vitest"
import * as Cookies from "../../src/dns/Cookies.ts"

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")

describe("DNS cookies", () => {
  const cookies = Cookies.make(bytes("e5e973e5a6b2a43f48e7dc849e37bfcf"))
  const address = Uint8Array.of(198, 51, 100, 100)
  const client = bytes("2464c4abcf10c957")
  const at = 1_559_731_985

  it("are those of RFC 9018, appendix A.1 and A.2", () => {
    const first = cookies.make(client, address, at)
    assert.strictEqual(hex(first), "2464c4abcf10c957010000005cf79f111f8130c3eee29480")
    const renewed = cookies.make(first, address, 1_559_734_385)
    assert.strictEqual(hex(renewed), "2464c4abcf10c957010000005cf7a871d4a564a1442aca77")
  })

  it("are good for an hour, at their address, and renewed after half of it", () => {
    const cookie = cookies.make(client, address, at)
    assert.isTrue(cookies.isValid(cookie, address, at))
    assert.isTrue(cookies.isValid(cookie, address, at + 3_600))
    assert.isFalse(cookies.isValid(cookie, address, at + 3_601))
    assert.isTrue(cookies.isValid(cookie, address, at - 300))
    assert.isFalse(cookies.isValid(cookie, address, at - 301))
    assert.isFalse(cookies.isValid(cookie, Uint8Array.of(198, 51, 100, 101), at))
    assert.strictEqual(cookies.make(cookie, address, at + 1_799), cookie)
    assert.notStrictEqual(hex(cookies.make(cookie, address, at + 1_800)), hex(cookie))
  })

  it("of others, or with any bit changed, are not good", () => {
    const cookie = cookies.make(client, address, at)
    assert.isFalse(Cookies.make(new Uint8Array(16)).isValid(cookie, address, at))
    for (let bit = 0; bit < cookie.length * 8; bit++) {
      const changed = cookie.slice()
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.isFalse(cookies.isValid(changed, address, at), `bit ${bit}`)
    }
    assert.isFalse(cookies.isValid(client, address, at))
    assert.isFalse(cookies.isValid(Uint8Array.of(...cookie, 0), address, at))
  })
})
