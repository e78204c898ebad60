import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import type { Termination } from "../../src/domain/Termination.ts"
import type { Preread } from "../../src/traffic/Preread.ts"
import type {
  AbortHow,
  Accepted,
  Bridged,
  BridgeOptions,
  ConnectionId,
  DialError,
  Ended,
  Endpoint,
  ListenError,
  ListenOptions,
  PrereadError,
  Secured,
  SecureError
} from "../../src/traffic/Transport.ts"

/** What the control side and a thread of the node engine tell each other, in batches. Requests are answered by number. */
export type ToThread =
  | {
      readonly op: "listen"
      readonly listener: number
      readonly options: ListenOptions
      readonly fd: number | undefined
    }
  | { readonly op: "close"; readonly listener: number }
  | { readonly op: "pause"; readonly listener: number; readonly reason: string }
  | { readonly op: "resume"; readonly listener: number }
  /** Settings are given once, and named by number from then on. */
  | { readonly op: "server-tls"; readonly number: number; readonly tls: ServerTls }
  | { readonly op: "backend-tls"; readonly number: number; readonly tls: BackendTls }
  | { readonly op: "forget-tls"; readonly number: number }
  | ({ readonly op: "preread"; readonly id: ConnectionId; readonly request: number } & PrereadQuestion)
  | { readonly op: "consume"; readonly id: ConnectionId; readonly bytes: number }
  | {
      readonly op: "secure"
      readonly id: ConnectionId
      readonly request: number
      readonly tls: number
      readonly pair: number
    }
  | {
      readonly op: "bridge"
      readonly id: ConnectionId
      readonly request: number
      readonly options: Omit<BridgeOptions, "tls">
      readonly tls: number | undefined
    }
  /** Nobody waits for the answer any more: a dial that has succeeded meanwhile ends the connection. */
  | { readonly op: "cancel"; readonly id: ConnectionId; readonly request: number }
  | { readonly op: "abort"; readonly id: ConnectionId; readonly how: AbortHow; readonly why: Termination }
  | { readonly op: "stop" }

interface PrereadQuestion {
  readonly question: Preread
  readonly max: number
}

/** An error without its class, which does not cross. */
type Plain<E> = { readonly [K in Exclude<keyof E, keyof Error | symbol>]: E[K] }

export type Failure = Plain<Pick<PrereadError, "_tag" | "reason">> | Plain<SecureFields> | Plain<DialFields>

type SecureFields = Pick<SecureError, "_tag" | "reason" | "code">
type DialFields = Pick<DialError, "_tag" | "source" | "reason" | "code">

export type FromThread =
  | { readonly op: "listening"; readonly listener: number; readonly address: Endpoint }
  | {
      readonly op: "not-listening"
      readonly listener: number
      readonly reason: ListenError["reason"]
      readonly detail: string
    }
  | { readonly op: "closed"; readonly listener: number }
  | { readonly op: "accepted"; readonly listener: number; readonly place: number; readonly accepted: Accepted }
  | { readonly op: "ended"; readonly ended: Ended }
  | { readonly op: "unbridged"; readonly id: ConnectionId; readonly error: Plain<DialFields> }
  | { readonly op: "accept-error"; readonly listener: number; readonly code: string; readonly count: number }
  | { readonly op: "answer"; readonly request: number; readonly value: Uint8Array | Bridged | Secured }
  | { readonly op: "failed"; readonly request: number; readonly failure: Failure }
