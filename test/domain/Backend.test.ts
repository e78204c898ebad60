import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import {
  type Backend,
  type BackendRow,
  backendColumns,
  decodeBackend,
  encodeBackend,
  sameBackend
} from "../../src/domain/Backend.ts"
import { backends, between } from "../support/arbitraries.ts"
import { country, row } from "../support/fixtures.ts"

const good = (fields: BackendRow): Backend => {
  const decoded = decodeBackend(row(fields))
  if (decoded._tag !== "Backend") throw new Error(`not a backend: ${JSON.stringify(decoded)}`)
  return decoded.backend
}

const reasonOf = (raw: BackendRow): string => {
  const decoded = decodeBackend(raw)
  return decoded._tag === "Bad" ? decoded.reason : `decoded as ${decoded._tag}`
}

const bytes = new Uint8Array([10, 0, 0, 1])

describe("R9: the name of a host", () => {
  it.each([
    ["db.internal", "db.internal"],
    ["DB.Internal.", "db.internal"],
    ["db", "db"],
    ["_pg._tcp.internal", "_pg._tcp.internal"]
  ])("%s stands for its addresses", (given, name) => {
    const decoded = decodeBackend(row({ wg_ip: given }))
    if (decoded._tag !== "Backend") return assert.fail(decoded._tag)
    assert.deepInclude(decoded.backend, { address: name, named: true })
    assert.deepStrictEqual(decodeBackend(encodeBackend(decoded.backend)), decoded)
  })

  it("leaves ids with a # to whoever likes them", () => {
    for (const id of ["web#1", "#", "a#b.c x", "x#y"]) assert.strictEqual(decodeBackend(row({ id }))._tag, "Backend")
  })
})

describe("R9: a bad row is told by its column and the value it has", () => {
  it.each<[string, unknown, string]>([
    ["port", 70_000, "70000"],
    ["port", 0, "0"],
    ["port", -1, "-1"],
    ["port", 1.5, "1.5"],
    ["port", Number.NaN, "NaN"],
    ["port", "80", '"80"'],
    ["port", null, "null"],
    ["port", undefined, "undefined"],
    ["port", bytes, "a blob"],
    ["port", 2n ** 60n, "1152921504606846976"],
    ["region", "mars", '"mars"'],
    ["region", " eu", '" eu"'],
    ["region", null, "null"],
    ["region", 1, "1"],
    ["weight", 1_001, "1001"],
    ["weight", -1, "-1"],
    ["weight", 0.5, "0.5"],
    ["weight", "1", '"1"'],
    ["weight", 2n ** 60n, "1152921504606846976"],
    ["soft_limit", -1, "-1"],
    ["soft_limit", 10_000_001, "10000001"],
    ["hard_limit", -1, "-1"],
    ["hard_limit", 10_000_001, "10000001"],
    ["hard_limit", 2n ** 60n, "1152921504606846976"],
    ["hard_limit", Infinity, "Infinity"],
    ["id", "", '""'],
    ["id", null, "null"],
    ["id", 7, "7"],
    ["id", bytes, "a blob"],
    ["id", "x".repeat(129), "xxxx"],
    ["id", "é".repeat(65), "éééé"],
    ["id", "a\u0000b", "a\\u0000b"],
    ["id", "line\nbreak", "line\\nbreak"],
    ["id", "a\u2028b", "got"],
    ["id", "\u202egnp", "got"],
    ["id", "\ud800", "\\ud800"],
    ["app", "x".repeat(129), "xxxx"],
    ["app", "a\u0007", "got"],
    ["app", 1, "1"],
    ["healthy", "yes", '"yes"'],
    ["healthy", 0.5, "0.5"],
    ["deleted", "1", '"1"'],
    ["country", "XX", '"XX"'],
    ["country", "Germany", '"Germany"'],
    ["country", "EU", '"EU"'],
    ["country", 49, "49"],
    ["wg_ip", null, "null"],
    ["wg_ip", "", '""'],
    ["wg_ip", "db..internal", '"db..internal"'],
    ["wg_ip", "-db.internal", '"-db.internal"'],
    ["wg_ip", "10.0.0.300", '"10.0.0.300"'],
    ["id", "db#10.0.0.1", '"db#10.0.0.1"'],
    ["id", "db#[fd00::1]:5432", '"db#[fd00::1]:5432"'],
    ["wg_ip", bytes, "a blob"],
    ["wg_ip", "10.0.0", '"10.0.0"'],
    ["wg_ip", "010.0.0.1", '"010.0.0.1"'],
    ["wg_ip", "10.0.0.1:80", '"10.0.0.1:80"'],
    ["wg_ip", "10.0.0.0/8", '"10.0.0.0/8"'],
    ["wg_ip", "0.0.0.0", '"0.0.0.0"'],
    ["wg_ip", "::", '"::"'],
    ["wg_ip", "::ffff:0.0.0.0", '"::ffff:0.0.0.0"'],
    ["wg_ip", "224.0.0.1", '"224.0.0.1"'],
    ["wg_ip", "ff02::1", '"ff02::1"'],
    ["wg_ip", "255.255.255.255", '"255.255.255.255"'],
    ["wg_ip", "fe80::1%eth0", '"fe80::1%eth0"']
  ])("%s %o", (column, value, shown) => {
    const reason = reasonOf(row({ [column]: value }))
    assert.include(reason, `${column}: `)
    assert.include(reason, shown)
  })

  it("names every bad column at once", () => {
    const reason = reasonOf(row({ port: 0, weight: -1, region: "mars" }))
    for (const column of ["port", "weight", "region"]) assert.include(reason, `${column}: `)
  })

  it("NULL everywhere is bad for what has no default", () => {
    const reason = reasonOf(Object.fromEntries(backendColumns.map((column) => [column, null])))
    for (const column of ["id", "region", "wg_ip", "port"]) assert.include(reason, `${column}: `)
    for (const column of ["app", "country", "healthy", "weight", "soft_limit", "hard_limit", "deleted"]) {
      assert.notInclude(reason, `${column}: `)
    }
  })

  it("a long value is cut short in the reason", () => {
    assert.isBelow(reasonOf(row({ wg_ip: "x".repeat(1_000_000) })).length, 200)
  })

  it.prop(
    "the ranges are those of the rule and no others",
    {
      port: between(-10, 70_000),
      weight: between(-10, 1_100),
      soft: between(-10, 10_000_100),
      hard: between(-10, 10_000_100)
    },
    ({ hard, port, soft, weight }) => {
      const fits = port >= 1 && port <= 65_535 && weight >= 0 && weight <= 1_000
      const limits = soft >= 0 && soft <= 10_000_000 && hard >= 0 && hard <= 10_000_000
      const decoded = decodeBackend(row({ port, weight, soft_limit: soft, hard_limit: hard }))
      return (decoded._tag === "Backend") === (fits && limits)
    }
  )
})

describe("R9: what decodes", () => {
  it("NULL and absent columns take their defaults", () => {
    const defaults: Backend = {
      id: "b1",
      app: "",
      region: "eu",
      country: undefined,
      address: "10.0.0.1",
      port: 80,
      healthy: true,
      draining: false,
      expired: false,
      weight: 1,
      softLimit: 100,
      hardLimit: 150
    }
    const needed = { id: "b1", region: "eu", wg_ip: "10.0.0.1", port: 80 }
    const nulls = { app: null, country: null, healthy: null, weight: null, soft_limit: null, hard_limit: null }
    assert.deepStrictEqual(decodeBackend(needed), { _tag: "Backend", backend: defaults })
    assert.deepStrictEqual(decodeBackend({ ...nulls, deleted: null, ...needed }), {
      _tag: "Backend",
      backend: defaults
    })
  })

  it("64-bit columns may come as bigint", () => {
    const decoded = good({ port: 80n, healthy: 0n, weight: 3n, soft_limit: 4n, hard_limit: 5n, deleted: 0n })
    assert.deepInclude(decoded, { port: 80, healthy: false, weight: 3, softLimit: 4, hardLimit: 5 })
  })

  it("an id or app has at most 128 bytes, not characters", () => {
    const long = "é".repeat(64)
    assert.deepInclude(good({ id: long, app: "x".repeat(128) }), { id: long, app: "x".repeat(128) })
  })

  it.each([1, true, 2, -1, 1n, 2n ** 60n])("deleted = %s is deleted, whatever else the row says", (deleted) => {
    assert.deepStrictEqual(decodeBackend({ deleted }), { _tag: "Deleted" })
    assert.deepStrictEqual(decodeBackend(row({ deleted, port: "none" })), { _tag: "Deleted" })
  })

  it.each([0, false, 0n, null, undefined])("deleted = %s is live", (deleted) => {
    assert.strictEqual(decodeBackend(row({ deleted }))._tag, "Backend")
  })

  it.each([
    [0, false],
    [1, true],
    [false, false],
    [true, true],
    [2, true],
    [null, true]
  ])("healthy = %s is %s", (healthy, expected) => {
    assert.strictEqual(good({ healthy }).healthy, expected)
  })

  it.each(["", "   ", null, undefined])("country = %o is none", (text) => {
    assert.isUndefined(good({ country: text }).country)
  })

  it.each(["de", "De", " DE "])("country = %o is DE", (text) => {
    assert.strictEqual(good({ country: text }).country, country("DE"))
  })

  it("a region is taken in any case", () => {
    assert.strictEqual(good({ region: "US" }).region, "us")
  })

  it("R4: soft_limit 0 counts as 1, hard_limit 0 means unlimited, weight 0 is a weight", () => {
    assert.deepInclude(good({ soft_limit: 0, hard_limit: 0, weight: 0 }), {
      softLimit: 1,
      hardLimit: Infinity,
      weight: 0
    })
  })

  it.each([
    ["::ffff:10.0.0.9", "10.0.0.9"],
    ["2001:DB8:0:0::1", "2001:db8::1"],
    ["127.0.0.1", "127.0.0.1"]
  ])("wg_ip %s is %s", (text, address) => {
    assert.strictEqual(good({ wg_ip: text }).address, address)
  })
})

const anything = Arbitrary.schema(Schema.Unknown)
const anyRow = Arbitrary.all(Object.fromEntries(backendColumns.map((column) => [column, anything])))

describe("decodeBackend is total", () => {
  it.prop("whatever the columns hold", [anyRow], ([raw]) => {
    assert.include(["Backend", "Deleted", "Bad"], decodeBackend(raw)._tag)
  })

  it.prop(
    "whatever one column holds",
    [Schema.Literals(backendColumns), anything],
    ([column, value]) => {
      assert.include(["Backend", "Deleted", "Bad"], decodeBackend(row({ [column]: value }))._tag)
    },
    { arbitrary: { runs: 500 } }
  )

  it.each([
    ["an object without a prototype", Object.create(null)],
    ["such an object in an array", [Object.create(null)]],
    ["a symbol", Symbol("port")],
    ["a function", () => 80]
  ])("with %s", (_, value) => {
    assert.strictEqual(decodeBackend(row({ port: value }))._tag, "Bad")
    assert.strictEqual(decodeBackend(row({ id: value }))._tag, "Bad")
  })
})

describe("encodeBackend", () => {
  it.prop("is undone by decodeBackend", [backends], ([original]) => {
    assert.deepStrictEqual(decodeBackend(encodeBackend(original)), { _tag: "Backend", backend: original })
  })

  it.prop("survives JSON, as a snapshot on disk needs", [backends], ([original]) => {
    const stored: BackendRow = JSON.parse(JSON.stringify(encodeBackend(original)))
    assert.deepStrictEqual(decodeBackend(stored), { _tag: "Backend", backend: original })
  })
})

describe("sameBackend", () => {
  it.prop("holds for equal fields, and for no others", [backends, backends], ([a, b]) => {
    assert.isTrue(sameBackend(a, { ...a }))
    for (const field of Object.keys(a)) {
      const key = field as keyof Backend
      assert.strictEqual(sameBackend(a, { ...a, [key]: b[key] }), a[key] === b[key], key)
    }
  })
})
