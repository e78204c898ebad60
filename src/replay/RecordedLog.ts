import * as Result from "effect/Result"
import { type Client, clientFromText } from "../domain/Client.ts"
import { countryFromText, regionOfCountry, regions } from "../domain/Region.ts"
import { type ClientGeo, unknownGeo } from "../domain/Score.ts"

/** What became of a line of an access log. */
export type Taken =
  | "taken"
  /** No line of an access log, or one that says what can't be. */
  | "bad"
  /** Of a connection that was turned away before anybody chose a backend for it: it would be again. */
  | "refused"

/** Connections of an access log, in columns: some sixty bytes each, and half a kilobyte for every client, once. */
export interface RecordedLog {
  readonly add: (line: string) => Taken
  readonly counts: Readonly<Record<Taken, number>>
  readonly size: () => number
  /** Distinct addresses. */
  readonly clients: () => number
  readonly at: (index: number) => Recorded
  /** The connections in the order of their beginning. */
  readonly order: () => Uint32Array
}

/** Times are Unix milliseconds. */
export interface Recorded {
  readonly startMs: number
  readonly endMs: number
  readonly client: Client
  readonly geo: ClientGeo
  readonly app: string | undefined
  /** Where it went; undefined: nowhere. */
  readonly backend: string | undefined
  readonly tier: number | undefined
  readonly bytes: number
}

/** Numbers for values that come again and again. */
const makeNames = <A>() => {
  const numbers = new Map<string, number>()
  const values: Array<A> = []
  return {
    values,
    numberOf: (name: string, make: () => A): number => {
      const known = numbers.get(name)
      if (known !== undefined) return known
      const number = values.length
      values.push(make())
      numbers.set(name, number)
      return number
    }
  }
}

type Fields = Readonly<Record<string, unknown>>

const parse = (line: string) => Result.try((): unknown => JSON.parse(line))

const fieldsOf = (line: string): Fields | undefined => {
  const value = Result.getOrUndefined(parse(line))
  // Any object may be looked into; what is not there is undefined.
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

const amountOf = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

const placeOf = (country: unknown, region: unknown): ClientGeo => {
  const known = typeof country === "string" ? countryFromText(country) : undefined
  if (known !== undefined) return { country: known, region: regionOfCountry(known) }
  const given = regions.find((one) => one === region)
  return given === undefined ? unknownGeo : { country: undefined, region: given }
}

const NONE = -1

export const make = (): RecordedLog => {
  const counts = { taken: 0, bad: 0, refused: 0 }
  const clients = makeNames<Client>()
  const places = makeNames<ClientGeo>()
  const texts = makeNames<string>()
  const starts: Array<number> = []
  const ends: Array<number> = []
  const bytes: Array<number> = []
  const who: Array<number> = []
  const where: Array<number> = []
  const apps: Array<number> = []
  const backends: Array<number> = []
  const tiers: Array<number> = []

  const numberOf = (text: string | undefined): number => (text === undefined ? NONE : texts.numberOf(text, () => text))

  const look = (line: string): Taken => {
    const fields = fieldsOf(line)
    if (fields === undefined) return "bad"
    const endMs = typeof fields["ts"] === "string" ? Date.parse(fields["ts"]) : NaN
    const durationMs = amountOf(fields["duration_ms"])
    const address = textOf(fields["client"])
    const client = address === undefined ? undefined : clientFromText(address)
    if (Number.isNaN(endMs) || durationMs === undefined || client === undefined) return "bad"
    if (typeof fields["end_phase"] !== "string") return "bad"
    if (fields["end_phase"] === "pre-route") return "refused"
    const { tier } = fields
    starts.push(endMs - durationMs)
    ends.push(endMs)
    bytes.push((amountOf(fields["bytes_in"]) ?? 0) + (amountOf(fields["bytes_out"]) ?? 0))
    who.push(clients.numberOf(client.address, () => client))
    const place = placeOf(fields["country"], fields["region"])
    where.push(places.numberOf(`${place.country} ${place.region}`, () => place))
    apps.push(numberOf(textOf(fields["app"])))
    backends.push(numberOf(textOf(fields["backend"])))
    tiers.push(typeof tier === "number" && tier >= 0 && tier <= 3 ? tier : NONE)
    return "taken"
  }

  return {
    add: (line) => {
      const taken = look(line)
      counts[taken]++
      return taken
    },
    counts,
    size: () => starts.length,
    clients: () => clients.values.length,
    at: (index) => {
      const client = clients.values[who[index] ?? NONE]
      if (client === undefined) throw new Error(`no connection ${index}`)
      const tier = tiers[index] ?? NONE
      return {
        startMs: starts[index] ?? 0,
        endMs: ends[index] ?? 0,
        client,
        geo: places.values[where[index] ?? NONE] ?? unknownGeo,
        app: texts.values[apps[index] ?? NONE],
        backend: texts.values[backends[index] ?? NONE],
        tier: tier === NONE ? undefined : tier,
        bytes: bytes[index] ?? 0
      }
    },
    order: () => {
      const order = Uint32Array.from(starts.keys())
      return order.sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0) || a - b)
    }
  }
}
