import { assert, describe, it } from "@effect/vitest"
import { sslTlv } from "../../src/domain/SslTlv.ts"
import { readTlvs } from "../../src/domain/Tlv.ts"

const read = (subject: string | undefined) => {
  const { type, value } = sslTlv({ version: "TLSv1.3", subject })
  const inside = (readTlvs(value, 5, value.length) ?? []).map(
    (each) => [each.type, Buffer.from(each.value).toString()] as const
  )
  return { type, header: Array.from(value.subarray(0, 5)), inside }
}

const version = [0x21, "TLSv1.3"] as const

describe("what backends are told of a client's TLS", () => {
  it("without a certificate: that there is one, and nothing verified", () => {
    assert.deepStrictEqual(read(undefined), { type: 0x20, header: [1, 0, 0, 0, 1], inside: [version] })
  })

  it("with one: that it was verified, and its common name", () => {
    const expected = { type: 0x20, header: [7, 0, 0, 0, 0], inside: [version, [0x22, "client-1"] as const] }
    assert.deepStrictEqual(read("C=BR\nO=Shop\nCN=client-1"), expected)
    assert.deepStrictEqual(read("CN=client-1 + OU=edge\nCN=another"), expected)
    assert.deepStrictEqual(read("OU=edge + CN=client-1"), expected)
  })

  it.each(["O=Shop", "O=x\\nCN=admin", "CN=a\\,b", `CN=${"n".repeat(300)}`, ""])("%j: no name", (subject) => {
    assert.deepStrictEqual(read(subject), { type: 0x20, header: [7, 0, 0, 0, 0], inside: [version] })
  })
})
