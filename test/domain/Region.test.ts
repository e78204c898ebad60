import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { countries, countryFromText, isCountry, Region, regionOfCountry, regions } from "../../src/domain/Region.ts"

/** All of ISO 3166-1 alpha-2 in alphabetical order, as the time zone database's iso3166.tab lists it. */
const iso3166 = `
  AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
  CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
  GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
  KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT
  MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
  SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
  UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
`
  .trim()
  .split(/\s+/)

describe("R3: every country has a region", () => {
  it("holds ISO 3166-1 and XK, each code once", () => {
    assert.strictEqual(iso3166.length, 249)
    assert.strictEqual(countries.length, 250)
    assert.deepStrictEqual([...countries].sort(), [...iso3166, "XK"].sort())
    for (const country of countries) assert.include(regions, regionOfCountry(country))
  })

  it.each([
    ["BR", "sa"],
    ["GF", "sa"],
    ["FK", "sa"],
    ["AQ", "sa"],
    ["US", "us"],
    ["MX", "us"],
    ["PA", "us"],
    ["CU", "us"],
    ["TT", "us"],
    ["GL", "us"],
    ["DE", "eu"],
    ["RU", "eu"],
    ["TR", "eu"],
    ["CY", "eu"],
    ["GE", "eu"],
    ["IR", "eu"],
    ["IQ", "eu"],
    ["IL", "eu"],
    ["EG", "eu"],
    ["NG", "eu"],
    ["ZA", "eu"],
    ["XK", "eu"],
    ["KZ", "ap"],
    ["AF", "ap"],
    ["PK", "ap"],
    ["IN", "ap"],
    ["IO", "ap"],
    ["CN", "ap"],
    ["JP", "ap"],
    ["ID", "ap"],
    ["AU", "ap"],
    ["GU", "ap"],
    ["PF", "ap"]
  ] as const)("%s is in %s", (country, region) => {
    assert.strictEqual(regionOfCountry(country), region)
  })
})

describe("R2: no client is given a region by default", () => {
  it.each(["", "XX", "ZZ", "EU", "UK", "br", " BR", "BRA", "constructor"])("%j has no region", (text) => {
    assert.isUndefined(regionOfCountry(text))
    assert.isFalse(isCountry(text))
  })

  it.prop("whatever is no country has no region, and the other way round", [Schema.String], ([text]) => {
    const country = countryFromText(text)
    return country === undefined ? regionOfCountry(text) === undefined : regionOfCountry(country) !== undefined
  })
})

describe("countryFromText", () => {
  it("takes any case and blanks around", () => {
    assert.strictEqual(countryFromText("br"), "BR")
    assert.strictEqual(countryFromText("  De\n"), "DE")
  })

  it.each(["", "  ", "xx", "B R", "brazil", "ß", "ıt"])("%j is no country", (text) => {
    assert.isUndefined(countryFromText(text))
  })
})

describe("Region", () => {
  it("is one of four", () => {
    assert.deepStrictEqual(regions, ["sa", "us", "eu", "ap"])
    assert.isTrue(Schema.is(Region)("sa"))
    assert.isFalse(Schema.is(Region)("SA"))
    assert.isFalse(Schema.is(Region)("hkg"))
  })
})
