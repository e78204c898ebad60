import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Transport } from "../../src/traffic/Transport.ts"

/** What an engine may lack by its nature; the README says so. */
export type Ability = "hears a reset behind unread bytes"

/** One thing that every engine has to do. */
export interface Case {
  readonly name: string
  readonly run: Effect.Effect<unknown, unknown, Transport | Scope.Scope>
  readonly timeoutMs?: number
  /** Only for engines that can. */
  readonly needs?: Ability
  /** Not on this machine. */
  readonly skip?: boolean
}
