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
  /** Of these nobody could say anything: there may be such addresses still. */
  readonly unanswered: ReadonlyArray<Unanswered>
}

/** A part of a question that got no answer: addresses of a family, or at a port (of a target of a service), or both. */
export interface Unanswered {
  readonly family?: 4 | 6
  readonly port?: number
}

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4)

/** Whether the answer says nothing of an address that is known. */
export const isUnanswered = ({ unanswered }: HostAnswer, { address, port }: HostAddress): boolean =>
  unanswered.some(
    (part) =>
      (part.family === undefined || part.family === familyOf(address)) &&
      (part.port === undefined || part.port === port)
  )

/** Looks names up in DNS: A and AAAA, or SRV where the name begins with an underscore. */
export class HostResolver extends Context.Service<
  HostResolver,
  {
    readonly resolve: (host: string) => Effect.Effect<HostAnswer, HostError>
  }
>()("edgeproxy/routing/HostResolver") {}
