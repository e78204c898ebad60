import { assert, describe, it } from "@effect/vitest"
import { type Caller, decide, isLoopback, type Policy, type Purpose } from "../../src/api/access.ts"

const local: Caller = {
  peer: "127.0.0.1",
  holder: "none",
  host: "127.0.0.1:8081",
  origin: undefined,
  fetchSite: undefined,
  forwarded: false
}
const remote: Caller = { ...local, peer: "203.0.113.7", host: "pop.example.com" }
const policy: Policy = { publicReads: false, tokenFor: { read: true, write: true } }
const noTokens: Policy = { publicReads: false, tokenFor: { read: false, write: false } }

const verdicts = (caller: Caller, under: Policy = policy): Readonly<Record<Purpose, string>> => ({
  read: decide("read", caller, under)._tag,
  write: decide("write", caller, under)._tag
})
const both = (verdict: string) => ({ read: verdict, write: verdict })

describe("who may (D3)", () => {
  it("loopback may, also without any token", () => {
    for (const peer of ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"]) {
      assert.isTrue(isLoopback(peer), peer)
      assert.deepStrictEqual(verdicts({ ...local, peer }, noTokens), both("Allowed"))
      assert.deepStrictEqual(verdicts({ ...local, peer }), both("Allowed"))
    }
  })

  it("nobody else is loopback", () => {
    for (const peer of [
      "10.0.0.1",
      "::ffff:10.0.0.1",
      "fe80::1%lo",
      "0.0.0.0",
      "::",
      "128.0.0.1",
      "",
      "localhost",
      undefined
    ]) {
      assert.isFalse(isLoopback(peer), peer)
      assert.deepStrictEqual(verdicts({ ...local, peer }), both("Unauthorized"))
      assert.deepStrictEqual(verdicts({ ...local, peer }, noTokens), both("Forbidden"))
    }
  })

  it("tokens open what they are for, from anywhere", () => {
    const hostile = { ...remote, origin: "https://evil.example", fetchSite: "cross-site", forwarded: true }
    assert.deepStrictEqual(verdicts({ ...hostile, holder: "writer" }), both("Allowed"))
    assert.deepStrictEqual(verdicts({ ...hostile, holder: "reader" }), { read: "Allowed", write: "Forbidden" })
  })

  it("a wrong token is refused, even where none is needed", () => {
    assert.deepStrictEqual(verdicts({ ...local, holder: "wrong" }), both("Unauthorized"))
    assert.deepStrictEqual(
      verdicts({ ...local, holder: "wrong" }, { ...policy, publicReads: true }),
      both("Unauthorized")
    )
  })

  it("public reads are for all, writes are not", () => {
    const open = { ...policy, publicReads: true }
    assert.deepStrictEqual(verdicts(remote, open), { read: "Allowed", write: "Unauthorized" })
    assert.deepStrictEqual(verdicts({ ...local, host: "evil.example" }, open), { read: "Allowed", write: "Forbidden" })
  })

  it("where only a reader's token exists, a write asks for none", () => {
    const readers = { publicReads: false, tokenFor: { read: true, write: false } }
    assert.deepStrictEqual(verdicts(remote, readers), { read: "Unauthorized", write: "Forbidden" })
  })

  it("what a proxy on this host passes on is not from this host", () => {
    assert.deepStrictEqual(verdicts({ ...local, forwarded: true }), both("Unauthorized"))
  })

  it("a host that is neither localhost nor an address is somebody's name for this one", () => {
    for (const host of ["localhost", "LOCALHOST:8081", "127.0.0.1", "[::1]:8081", "192.0.2.2:8081", "[fd00::2]"]) {
      assert.deepStrictEqual(verdicts({ ...local, host }), both("Allowed"), host)
    }
    for (const host of [
      "evil.example",
      "evil.example:8081",
      "localhost.evil.example",
      "localhost.",
      "127.0.0.1.evil.example",
      "127.0.0.1@evil.example",
      "[::1].evil.example",
      "127.1",
      "0x7f000001",
      "2130706433",
      "[localhost",
      "localhost:8081:1",
      "localhost:port",
      " localhost",
      "",
      undefined
    ]) {
      assert.deepStrictEqual(verdicts({ ...local, host }), both("Forbidden"), String(host))
    }
  })

  it("a page of another origin may nothing", () => {
    const at = (origin: string | undefined, fetchSite?: string) =>
      verdicts({ ...local, host: "localhost:8081", origin, fetchSite })
    assert.deepStrictEqual(at("http://localhost:8081", "same-origin"), both("Allowed"))
    assert.deepStrictEqual(at(undefined, "none"), both("Allowed"))
    for (const origin of [
      "https://evil.example",
      "null",
      "http://localhost",
      "http://localhost:3000",
      "https://localhost:8081",
      "http://localhost:8081.evil.example",
      "http://127.0.0.1:8081",
      ""
    ]) {
      assert.deepStrictEqual(at(origin), both("Forbidden"), origin)
    }
    for (const site of ["cross-site", "same-site", ""]) {
      assert.deepStrictEqual(at(undefined, site), both("Forbidden"), site)
    }
  })
})
