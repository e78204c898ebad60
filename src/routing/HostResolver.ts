import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { HostAddress } from "./HostAddresses.ts"

/** Why a name leads nowhere. */
export class HostError extends Data.TaggedError("HostError")<{
  /** `not-found`: no such name, or it has no address. `unusable`: backends may be at none of its addresses (R9). */
  readonly reason: "not-found" | "timeout" | "failed" | "unusable"
  readonly host: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.host}: ${this.detail}`
  }
}

export interface HostAnswer {
  readonly addresses: ReadonlyArray<HostAddress>
  /** The shortest of its records. */
  readonly ttlSecs: number
  /** Of one address family nobody could say anything: there may be more. */
  readonly partial: boolean
}

/** Looks names up in DNS: A and AAAA, or SRV where the name begins with an underscore. */
export class HostResolver extends Context.Service<
  HostResolver,
  {
    readonly resolve: (host: string) => Effect.Effect<HostAnswer, HostError>
  }
>()("edgeproxy/routing/HostResolver") {}
