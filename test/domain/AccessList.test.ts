import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as IpNetwork from "effect/net/IpNetwork"
import * as AccessList from "../../src/domain/AccessList.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { client, country, geoOf } from "../support/fixtures.ts"

const networks = (...texts: ReadonlyArray<string>) => texts.map((text) => Result.getOrThrow(IpNetwork.fromString(text)))

const none: AccessList.AccessRules = { allow: [], deny: [], denyCountries: [] }

describe("who may connect", () => {
  it("is everybody when nobody is listed", () => {
    const list = AccessList.make(none)
    for (const address of ["203.0.113.7", "2001:db8::1"]) {
      assert.isUndefined(list.denialOf(client(address), geoOf("BR")))
      assert.isUndefined(list.denialOf(client(address), geoOf()))
    }
  })

  it("is nobody else when networks are allowed", () => {
    const list = AccessList.make({ ...none, allow: networks("10.0.0.0/8") })
    assert.isUndefined(list.denialOf(client("10.1.2.3"), geoOf()))
    assert.strictEqual(list.denialOf(client("203.0.113.7"), geoOf()), "denied-network")
    assert.strictEqual(list.denialOf(client("2001:db8::1"), geoOf()), "denied-network")
  })

  it("is nobody from a denied network, allowed or not", () => {
    const list = AccessList.make({ ...none, allow: networks("10.0.0.0/8"), deny: networks("10.9.0.0/16") })
    assert.isUndefined(list.denialOf(client("10.8.255.255"), geoOf()))
    assert.strictEqual(list.denialOf(client("10.9.0.0"), geoOf()), "denied-network")
    // Neither does a longer allowed prefix open what is denied.
    const nested = AccessList.make({ ...none, allow: networks("10.9.1.0/24"), deny: networks("10.9.0.0/16") })
    assert.strictEqual(nested.denialOf(client("10.9.1.1"), geoOf()), "denied-network")
  })

  it("is nobody from a denied country, allowed or not; an unknown country is none", () => {
    const denyCountries = [country("BR"), country("DE")]
    const list = AccessList.make({ ...none, allow: networks("203.0.113.0/24"), denyCountries })
    const denialFrom = (code?: string) => list.denialOf(client("203.0.113.7"), geoOf(code))
    assert.deepStrictEqual(["BR", "DE", "US", undefined].map(denialFrom), [
      "denied-country",
      "denied-country",
      undefined,
      undefined
    ])
  })

  // Few bits, so that networks and addresses meet.
  const networkTexts = Arbitrary.array(
    Arbitrary.map(
      Arbitrary.all([Arbitrary.schema(between(0, 3)), Arbitrary.schema(between(0, 3)), oneOf([8, 9, 15, 16, 0])]),
      ([a, b, length]) => `10.${length < 16 ? 0 : a * 64 + b}.0.0/${length}`
    ),
    { maxLength: 4 }
  )
  const places = oneOf([undefined, "BR", "DE", "US"])

  it.prop(
    "is what the rules say, each by itself: every rule more keeps out more, and none lets in",
    [networkTexts, networkTexts, Arbitrary.array(oneOf(["BR", "DE"]), { maxLength: 2 }), between(0, 255), places],
    ([allow, deny, countries, octet, from]) => {
      const rules = {
        allow: networks(...allow.map(masked)),
        deny: networks(...deny.map(masked)),
        denyCountries: countries.map((code) => country(code))
      }
      const from10 = client(`10.${octet}.0.7`)
      const within = (list: ReadonlyArray<IpNetwork.IpNetwork>) =>
        list.some((network) => IpNetwork.contains(network, from10.ip))
      const byNetwork = (allow.length > 0 && !within(rules.allow)) || within(rules.deny)
      const byCountry = from !== undefined && countries.some((code) => code === from)
      const denial = AccessList.make(rules).denialOf(from10, geoOf(from))
      assert.strictEqual(denial, byNetwork ? "denied-network" : byCountry ? "denied-country" : undefined)
    }
  )
})

/** As a network is written: no bit beyond its length. */
const masked = (text: string): string => (text.endsWith("/0") ? "0.0.0.0/0" : text)
