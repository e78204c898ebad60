import { assert, describe, it } from "@effect/vitest"
import { codeOf, dialError, listenError } from "../../src/traffic/errno.ts"

describe("whose failure a dial's error is", () => {
  it.each([
    ["ECONNREFUSED", "backend", "Refused"],
    ["ETIMEDOUT", "backend", "Timeout"],
    ["ECONNRESET", "backend", "Reset"],
    ["EHOSTUNREACH", "backend", "Unreachable"],
    ["ENETUNREACH", "backend", "Unreachable"],
    ["EADDRNOTAVAIL", "proxy", "NoPorts"],
    ["EMFILE", "proxy", "NoFds"],
    ["ENFILE", "proxy", "NoFds"],
    ["ENOBUFS", "proxy", "NoMem"],
    ["ENOMEM", "proxy", "NoMem"],
    ["EPERM", "proxy", "Denied"]
  ] as const)("%s: %s %s", (code, source, reason) => {
    const error = dialError(code)
    assert.deepStrictEqual([error.source, error.reason, error.code], [source, reason, code])
    assert.include(error.message, code)
  })
})

describe("why an address can't be listened on", () => {
  it.each([
    ["EADDRINUSE", "InUse"],
    ["EACCES", "Denied"],
    ["EADDRNOTAVAIL", "BadAddress"],
    ["EMFILE", "NoFds"],
    ["ESOMETHING", "Other"]
  ] as const)("%s: %s", (code, reason) => {
    const error = listenError({ address: "::1", port: 80 }, code)
    assert.strictEqual(error.reason, reason)
    assert.include(error.message, "[::1]:80")
  })
})

describe("the code of an error", () => {
  it("is that of the system, or UNKNOWN", () => {
    assert.strictEqual(codeOf(Object.assign(new Error("no"), { code: "EPIPE" })), "EPIPE")
    for (const error of [new Error("no"), undefined, null, "EPIPE", { code: 7 }])
      assert.strictEqual(codeOf(error), "UNKNOWN")
  })
})
