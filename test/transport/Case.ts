import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Transport } from "../../src/traffic/Transport.ts"

/** One thing that every engine has to do. */
export interface Case {
  readonly name: string
  readonly run: Effect.Effect<unknown, unknown, Transport | Scope.Scope>
  readonly timeoutMs?: number
  /** Not on this machine. */
  readonly skip?: boolean
}
