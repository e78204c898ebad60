import * as Effect from "effect/Effect"
import type { Backend } from "../../src/domain/Backend.ts"

/** What a routing table says of host names when no row has one. */
export const hostless = {
  hosts: () => new Set<string>(),
  addressesOf: () => [],
  setAddresses: () => Effect.void,
  membersOf: (row: Backend) => [row]
}
