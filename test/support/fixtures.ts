import type { Backend, BackendRow } from "../../src/domain/Backend.ts"
import { type Client, clientFromText } from "../../src/domain/Client.ts"
import { type Country, countryFromText, regionOfCountry } from "../../src/domain/Region.ts"
import { type ClientGeo, unknownGeo } from "../../src/domain/Score.ts"

/** A row that decodes to a backend; a test says what matters to it. */
export const row = (fields: BackendRow = {}): BackendRow => ({
  id: "b1",
  app: "web",
  region: "eu",
  country: "DE",
  wg_ip: "10.0.0.1",
  port: 8080,
  healthy: 1,
  weight: 1,
  soft_limit: 100,
  hard_limit: 150,
  deleted: 0,
  ...fields
})

export const country = (code: string): Country => {
  const known = countryFromText(code)
  if (known === undefined) throw new Error(`no country: ${code}`)
  return known
}

/** A backend in eu without a country, an app or a hard limit, unless the test says otherwise. */
export const backend = (
  fields: Partial<Omit<Backend, "country">> & { readonly id: string; readonly country?: string | undefined }
): Backend => ({
  app: "",
  region: "eu",
  address: "10.0.0.1",
  port: 8080,
  healthy: true,
  draining: false,
  expired: false,
  weight: 1,
  softLimit: 100,
  hardLimit: Infinity,
  ...fields,
  country: fields.country === undefined ? undefined : country(fields.country)
})

export const client = (address: string): Client => {
  const known = clientFromText(address)
  if (known === undefined) throw new Error(`no address: ${address}`)
  return known
}

/** One client of its own for each number: 11.0.0.0 and up. */
export const clientNumber = (index: number): Client =>
  client([11 + (index >>> 24), (index >>> 16) & 255, (index >>> 8) & 255, index & 255].join("."))

/** Where a client of this country is; nowhere for none. */
export const geoOf = (code?: string): ClientGeo =>
  code === undefined ? unknownGeo : { country: country(code), region: regionOfCountry(code) }
