import { assert, describe, it } from "@effect/vitest"
import { decode, encode, inOrder, MAX_ADDRESSES, membersOf, same } from "../../src/routing/HostAddresses.ts"
import { backend } from "../support/fixtures.ts"

const row = {
  ...backend({ id: "db", address: "db.internal", port: 5_432, softLimit: 10, hardLimit: 20, weight: 3 }),
  named: true
} as const

const anywhere = () => undefined

const members = (found: Parameters<typeof inOrder>[0], of = row, refuses: Parameters<typeof membersOf>[2] = anywhere) =>
  membersOf(of, new Map([["db.internal", inOrder(found)]]), refuses)

describe("the addresses of a host that a row names", () => {
  it("are one backend each, which share the row's limits", () => {
    const found = members([{ address: "10.0.0.2" }, { address: "10.0.0.1" }, { address: "fd00::1" }])
    assert.deepStrictEqual(
      found.map(({ address, hardLimit, id, port, row, softLimit, weight }) => [
        id,
        row,
        address,
        port,
        softLimit,
        hardLimit,
        weight
      ]),
      [
        ["db#10.0.0.1", "db", "10.0.0.1", 5_432, 3, 6, 3],
        ["db#10.0.0.2", "db", "10.0.0.2", 5_432, 3, 6, 3],
        ["db#fd00::1", "db", "fd00::1", 5_432, 3, 6, 3]
      ]
    )
    assert.isTrue(found.every((member) => !("named" in member)))
  })

  it("never have more connections than the row may have", () => {
    for (let hardLimit = 1; hardLimit <= 40; hardLimit++) {
      for (let count = 1; count <= 40; count++) {
        const addresses = Array.from({ length: count }, (_, index) => ({ address: `10.0.0.${index}` }))
        const found = members(addresses, { ...row, hardLimit })
        assert.isAtMost(
          found.reduce((sum, member) => sum + member.hardLimit, 0),
          hardLimit
        )
        assert.isTrue(found.every((member) => member.hardLimit >= 1))
      }
    }
    const unlimited = members([{ address: "10.0.0.1" }, { address: "10.0.0.2" }], { ...row, hardLimit: Infinity })
    assert.deepStrictEqual(
      unlimited.map(({ hardLimit }) => hardLimit),
      [Infinity, Infinity]
    )
  })

  it("of a service have its ports and shares", () => {
    const found = members([
      { address: "10.0.0.1", port: 1, share: 0.5 },
      { address: "fd00::1", port: 2, share: 1.5 }
    ])
    assert.deepStrictEqual(
      found.map(({ id, port, weight }) => [id, port, weight]),
      [
        ["db#10.0.0.1:1", 1, 1.5],
        ["db#[fd00::1]:2", 2, 4.5]
      ]
    )
    // A row's weight is 1 unless it says otherwise: nine to one stays nine to one, and 0 is little, not nothing (RFC 2782).
    const uneven = members(
      [
        { address: "10.0.0.1", port: 1, share: 0.2 },
        { address: "10.0.0.2", port: 1, share: 1.8 },
        { address: "10.0.0.3", port: 1, share: 0 }
      ],
      { ...row, weight: 1 }
    )
    assert.deepStrictEqual(
      uneven.map(({ weight }) => weight),
      [0.2, 1.8, 0.01]
    )
    // R9: what they lead to passes the checks of a row.
    assert.deepStrictEqual(members([{ address: "10.0.0.1", port: 0, share: 1 }]), [])
    assert.strictEqual(members([{ address: "10.0.0.1", port: 1, share: 2 }], { ...row, weight: 0 })[0]?.weight, 0)
  })

  it("where backends may not be are left out", () => {
    const refuses = ({ address, port }: { readonly address: string; readonly port: number }) =>
      address === "169.254.169.254" || port === 8_080 ? "no" : undefined
    const found = [{ address: "10.0.0.1" }, { address: "169.254.169.254" }, { address: "10.0.0.2", port: 8_080 }]
    assert.deepStrictEqual(
      members(found, row, refuses).map(({ id }) => id),
      ["db#10.0.0.1"]
    )
  })

  it("have one order, are each there once, and are not too many", () => {
    const many = Array.from({ length: 100 }, (_, index) => ({ address: `10.0.0.${99 - index}` }))
    assert.lengthOf(inOrder(many), MAX_ADDRESSES)
    assert.isTrue(same(inOrder(many), inOrder(many.toReversed())))
    assert.lengthOf(inOrder([{ address: "10.0.0.1" }, { address: "10.0.0.1" }]), 1)
    assert.isFalse(same(inOrder(many), inOrder(many.slice(0, -1))))
    assert.isFalse(same([{ address: "10.0.0.1", port: 1 }], [{ address: "10.0.0.1", port: 2 }]))
  })

  it("are stored and read again; what is no such thing is none", () => {
    const found = [{ address: "10.0.0.1" }, { address: "fd00::1", port: 2, share: 0.5 }]
    assert.deepStrictEqual(decode(encode(found)), found)
    for (const stored of [undefined, null, 7, "", "{", "[1]", '[{"address":1}]', '"x"'])
      assert.deepStrictEqual(decode(stored), [])
  })
})
