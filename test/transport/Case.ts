import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Transport } from "../../src/traffic/Transport.ts"
import type { Ability, EngineUnderTest } from "./Engine.ts"

/** One thing that every engine has to do. */
export interface Case {
  readonly name: string
  readonly run: Effect.Effect<unknown, unknown, Transport | EngineUnderTest | Scope.Scope>
  readonly timeoutMs?: number
  /** Only for engines that can. */
  readonly needs?: Ability
  /** Only for engines that can't: what they do instead. */
  readonly lacks?: Ability
  /** Only for engines that carry bytes in threads of their own. */
  readonly threads?: boolean
  /** Not through TLS: it counts what is on the wire, or has an end of its own that speaks none. */
  readonly inClear?: boolean
  /** Not on this machine. */
  readonly skip?: boolean
}
