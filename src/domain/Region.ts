import type * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"

/** Part of the world a POP, a backend or a client is in. */
export const Region = Schema.Literals(["sa", "us", "eu", "ap"])
export type Region = typeof Region.Type

export const regions: ReadonlyArray<Region> = Region.literals

/** ISO 3166-1 alpha-2 code in upper case, or XK (Kosovo, which geo databases use and ISO leaves to users). */
export type Country = Brand.Branded<string, "Country">

/**
 * Country -> region by geography (R3). Every ISO 3166-1 code is here exactly once. Subregions follow UN M49, except
 * that its Western Asia and Iran are the Caucasus and the Middle East here, and that IO and TF, which it counts to
 * Africa, stand with their neighbours across the Indian Ocean.
 */
const countriesByRegion: Readonly<Record<Region, ReadonlyArray<string>>> = {
  sa: [
    "AR BO BR CL CO EC FK GF GY PE PY SR UY VE", // South America
    "AQ BV GS" // Antarctica and the South Atlantic
  ],
  us: [
    "BM CA GL MX PM US", // North America
    "BZ CR GT HN NI PA SV", // Central America
    "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI" // Caribbean
  ],
  eu: [
    "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ", // Northern Europe
    "AT BE CH DE FR LI LU MC NL", // Western Europe
    "BG BY CZ HU MD PL RO RU SK UA", // Eastern Europe
    "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK", // Southern Europe
    "AM AZ GE", // Caucasus
    "AE BH CY IL IQ IR JO KW LB OM PS QA SA SY TR YE", // Middle East
    "DZ EG EH LY MA SD TN", // North Africa
    "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG", // West Africa
    "AO CD CF CG CM GA GQ ST TD", // Central Africa
    "BI DJ ER ET KE KM MG MU MW MZ RE RW SC SO SS TZ UG YT ZM ZW", // East Africa
    "BW LS NA SZ ZA" // Southern Africa
  ],
  ap: [
    "KG KZ TJ TM UZ", // Central Asia
    "AF BD BT IN IO LK MV NP PK", // South Asia
    "CN HK JP KP KR MN MO TW", // East Asia
    "BN ID KH LA MM MY PH SG TH TL VN", // South-East Asia
    "AU CC CX HM NF NZ TF", // Australia, New Zealand and the islands south of them
    "FJ NC PG SB VU", // Melanesia
    "FM GU KI MH MP NR PW UM", // Micronesia
    "AS CK NU PF PN TK TO TV WF WS" // Polynesia
  ]
}

const entries = regions.flatMap((region) =>
  countriesByRegion[region].flatMap((codes) => codes.split(" ").map((code) => [code, region] as const))
)

const regionByCountry: ReadonlyMap<string, Region> = new Map(entries)

/** True for a code of the table, in upper case as ISO writes it. */
export const isCountry = (text: string): text is Country => regionByCountry.has(text)

/** Every country of the table, ordered by region and subregion. */
export const countries: ReadonlyArray<Country> = entries.map(([code]) => code).filter(isCountry)

/** A country as people and databases write it (any case, blanks around it); undefined for anything that is none. */
export const countryFromText = (text: string): Country | undefined => {
  const letters = text.trim()
  // Upper-casing alone would make a country of letters that are none: "ß" turns into SS.
  if (!/^[A-Za-z]{2}$/.test(letters)) return undefined
  const code = letters.toUpperCase()
  return isCountry(code) ? code : undefined
}

/** The region of a country code in upper case; undefined, never a default region, for anything else (R2). */
export const regionOfCountry = (country: string): Region | undefined => regionByCountry.get(country)
