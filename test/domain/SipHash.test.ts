import { assert, describe, it } from "@effect/vitest"
import { sipHash } from "../../src/domain/SipHash.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("SipHash-2-4", () => {
  // The key and the messages 00, 00 01 ... of the authors' reference code.
  const key = Uint8Array.from({ length: 16 }, (_, index) => index)

  it.each([
    [0, "310e0edd47db6f72"],
    [1, "fd67dc93c539f874"],
    [2, "5a4fa9d909806c0d"],
    [7, "37d1018bf50002ab"],
    [8, "6224939a79f5f593"],
    [15, "e545be4961ca29a1"],
    [16, "db9bc2577fcc2a3f"],
    [63, "724506eb4c328a95"]
  ])("has the authors' hash of %i bytes", (length, expected) => {
    assert.strictEqual(
      hex(
        sipHash(
          key,
          Uint8Array.from({ length }, (_, index) => index)
        )
      ),
      expected
    )
  })
})
