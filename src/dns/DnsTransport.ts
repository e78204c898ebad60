import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Endpoint, ListenError } from "../traffic/Transport.ts"
import type { Responder } from "./Responder.ts"

/** A socket ended that should have lived on. */
export class DnsSocketError extends Data.TaggedError("DnsSocketError")<{
  readonly address: Endpoint
  readonly code: string
}> {
  override get message(): string {
    return `a DNS socket of ${this.address.address} port ${this.address.port} was lost: ${this.code}`
  }
}

export interface DnsSockets {
  /** As bound: port 0 is resolved, the same for UDP and TCP. */
  readonly address: Endpoint
  /** Completes, as a failure, when one of them has been lost. */
  readonly lost: Effect.Effect<never, DnsSocketError>
}

/** Brings questions and takes answers, over UDP and TCP (RFC 7766), until the scope is closed. */
export class DnsTransport extends Context.Service<
  DnsTransport,
  {
    /** `answer` is called outside of any fiber and must not throw. */
    readonly listen: (address: Endpoint, answer: Responder) => Effect.Effect<DnsSockets, ListenError, Scope.Scope>
  }
>()("edgeproxy/dns/DnsTransport") {}
