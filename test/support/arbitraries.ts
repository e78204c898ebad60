import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { Backend } from "../../src/domain/Backend.ts"
import { countries, Region } from "../../src/domain/Region.ts"

export const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** One of these; shrinks towards the first. */
export const oneOf = <A>(values: readonly [A, ...ReadonlyArray<A>]): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(Arbitrary.schema(between(0, values.length - 1)), (index) => values[index] ?? values[0])

/** Any 32 bits. */
export const word = between(0, 0xffffffff)

const letters = Arbitrary.array(oneOf(["a", "B", "0", "-", ".", "_", " ", "é", "界"]), { minLength: 1, maxLength: 40 })

/** Printable text of 1 to 128 bytes. */
export const name = Arbitrary.map(letters, (parts) => parts.join(""))

export const ipv4 = Arbitrary.map(Arbitrary.schema(word), (bits) =>
  [bits >>> 24, (bits >>> 16) & 255, (bits >>> 8) & 255, bits & 255].join(".")
)

/** Eight groups of an IPv6 address, written out. */
export const ipv6Groups = Arbitrary.array(Arbitrary.schema(between(0, 0xffff)), { minLength: 8, maxLength: 8 })

export const ipv6Text = (groups: ReadonlyArray<number>): string => groups.map((group) => group.toString(16)).join(":")

/** Addresses a backend can have, in canonical text. */
const hostAddress = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Boolean), Arbitrary.schema(between(1, 0xfffe))]),
  ([four, host]) => (four ? `10.1.${host >>> 8}.${host & 255}` : `fd00::${host.toString(16)}`)
)

/** Any backend a row can decode to. */
export const backends: Arbitrary.Arbitrary<Backend> = Arbitrary.all({
  id: name,
  app: Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), name]), ([none, app]) => (none ? "" : app)),
  region: Arbitrary.schema(Region),
  country: Arbitrary.map(Arbitrary.schema(between(-1, countries.length - 1)), (index) => countries[index]),
  address: hostAddress,
  port: Arbitrary.schema(between(1, 65_535)),
  healthy: Arbitrary.schema(Schema.Boolean),
  draining: Arbitrary.schema(Schema.Boolean),
  expired: Arbitrary.schema(Schema.Boolean),
  weight: Arbitrary.schema(between(0, 1_000)),
  softLimit: Arbitrary.schema(between(1, 10_000_000)),
  hardLimit: Arbitrary.map(Arbitrary.schema(between(0, 10_000_000)), (limit) => (limit === 0 ? Infinity : limit))
})
