import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { nearestName, unknownNames } from "../../src/config/unknownNames.ts"
import { fields, variableOf } from "../../src/config/variables.ts"

const names = fields.map((field) => variableOf(field).name).filter((name) => name.startsWith("EDGEPROXY_"))

describe("nearestName", () => {
  it.each([
    ["EDGEPROXY_LISTEN_ADDRESS", "EDGEPROXY_LISTEN_ADDR"],
    ["EDGEPROXY_REGOIN", "EDGEPROXY_REGION"],
    ["EDGEPROXY_DB_RELOAD_SEC", "EDGEPROXY_DB_RELOAD_SECS"],
    ["EDGEPROXY_DB_RELOAD_MS", "EDGEPROXY_DB_RELOAD_SECS"],
    ["EDGEPROXY_IDLE_TIMEOUT", "EDGEPROXY_IDLE_TIMEOUT_SECS"],
    ["EDGEPROXY_IDLE_TIMEOUT_MS", "EDGEPROXY_IDLE_TIMEOUT_SECS"],
    ["EDGEPROXY_MAX_CONNECTION", "EDGEPROXY_MAX_CONNECTIONS"],
    ["EDGEPROXY_API_TOKEN_FIL", "EDGEPROXY_API_TOKEN_FILE"]
  ])("%s is nearest to %s", (slip, name) => {
    assert.strictEqual(nearestName(slip), name)
  })

  it.each(["EDGEPROXY_", "EDGEPROXY_SERVICE_HOST", "EDGEPROXY_BINARY_DOWNLOAD"])("%s is near nothing", (name) => {
    assert.isUndefined(nearestName(name))
  })

  it.prop(
    "finds a name with one character missing, or another as near",
    [Schema.Literals(names), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))],
    ([name, at]) => {
      const cut = "EDGEPROXY_".length + (at % (name.length - "EDGEPROXY_".length))
      const near = nearestName(name.slice(0, cut) + name.slice(cut + 1))
      assert.isDefined(near)
      assert.isAtMost(Math.abs(near.length - name.length), 2)
    }
  )
})

describe("unknownNames", () => {
  it("knows every variable, and the files of secrets", () => {
    const env = Object.fromEntries([...names, "EDGEPROXY_API_TOKEN_FILE"].map((name) => [name, "x"]))
    assert.deepStrictEqual(unknownNames(env), [])
  })

  it("knows no file of what is no secret", () => {
    assert.strictEqual(unknownNames({ EDGEPROXY_REGION_FILE: "x" }).length, 1)
  })
})
