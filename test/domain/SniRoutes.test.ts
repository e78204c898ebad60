import { assert, describe, it } from "@effect/vitest"
import { make } from "../../src/domain/SniRoutes.ts"

describe("the app of a server name", () => {
  const { appOf } = make([
    ["db.example.com", "pg"],
    ["*.example.com", "web"],
    ["*.shop.example.com", "shop"],
    ["a.shop.example.com", "special"]
  ])

  it("is that of the name itself, else of the longest wildcard above it", () => {
    assert.strictEqual(appOf("db.example.com"), "pg")
    assert.strictEqual(appOf("www.example.com"), "web")
    assert.strictEqual(appOf("b.shop.example.com"), "shop")
    assert.strictEqual(appOf("x.y.shop.example.com"), "shop")
    assert.strictEqual(appOf("a.shop.example.com"), "special")
    assert.strictEqual(appOf("b.a.shop.example.com"), "shop")
    assert.strictEqual(appOf("shop.example.com"), "web")
  })

  it("is none for other names: a wildcard does not have its own", () => {
    for (const name of ["example.com", "com", "db.example.org", "dbxexample.com", "*.example.org"]) {
      assert.isUndefined(appOf(name))
    }
    assert.isUndefined(make([]).appOf("example.com"))
  })
})
