import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Client } from "../domain/Client.ts"
import type { SocketAddress } from "../domain/ProxyProtocol.ts"
import type { ClientGeo } from "../domain/Score.ts"
import type { Tlv } from "../domain/Tlv.ts"
import type { Route } from "../routing/Router.ts"
import type { Upstream } from "../routing/Upstream.ts"
import type { ConnectionTrace } from "./ConnectionTrace.ts"
import { dialReasons } from "./dialReasons.ts"
import type { ListenerCounters } from "./ListenerCounters.ts"
import type { FailedDial } from "./RecentConnections.ts"
import type { RejectReason } from "./TrafficCounters.ts"
import {
  type Accepted,
  type ConnectionId,
  type DialError,
  type Endpoint,
  formatEndpoint,
  type Secured
} from "./Transport.ts"

/** All there is of a connection while bytes flow: one flat record. Times are monotonic milliseconds. */
export interface ConnectionRecord {
  readonly id: ConnectionId
  /** The peer, until a PROXY header has named another. */
  client: Client
  clientPort: number
  geo: ClientGeo
  /** The address it has connected to, where somebody wants to know. */
  readonly local: Endpoint | undefined
  /** What the PROXY header has said that named the client. */
  announced: Announced | undefined
  /** It counts among the connections of its client. */
  admitted: boolean
  /** Why it is turned away after all. */
  refusal: RejectReason | undefined
  /** The listener's, until a server name has led to another. */
  app: string | undefined
  /** The server name in the client's TLS hello, once it has been read. */
  sni: string | undefined
  /** What was agreed on with a client whose TLS is ended here. */
  secured: Secured | undefined
  readonly listener: ListenerCounters
  readonly acceptedAt: number
  /** The last one, also when it has been given back. */
  route: Route | undefined
  attempts: number
  connectUs: number | undefined
  /**
   * Bytes of this connection that its counters have already. Undefined before the first, so that V8 keeps the field in
   * place: one that has begun as a number becomes an object of its own with the first connection beyond 2 GiB.
   */
  countedIn: number | undefined
  countedOut: number | undefined
  /** Backends that have failed this connection. */
  tried: ReadonlyArray<Upstream>
  /** Its dials that came to nothing. */
  failures: ReadonlyArray<FailedDial>
  ended: boolean
  /** Of those that are sampled (O1). */
  trace: ConnectionTrace | undefined
}

// Most connections have none: they share this.
const noneTried: ReadonlyArray<Upstream> = []
const noFailures: ReadonlyArray<FailedDial> = []

/** Told by a trusted peer about the client for whom it connects. */
export interface Announced {
  /** Who told it. */
  readonly peer: Endpoint
  /** Where the client has connected to. */
  readonly destination: SocketAddress
  /** What its backend is to know too. */
  readonly tlvs: ReadonlyArray<Tlv>
}

/** A dial has come to nothing. */
export const noteFailure = (record: ConnectionRecord, { backend }: Upstream, error: DialError): void => {
  const word = dialReasons[error.reason]
  // Of TLS a word says too little: of a certificate it may be the name, the end, or who has signed it.
  const reason = error.reason === "Tls" ? `${word} (${error.code})` : word
  const failure = { backend: backend.id, address: formatEndpoint(backend), reason }
  record.failures = [...record.failures, failure]
}

/** A connection as it begins, at this monotonic time. */
export const recordOf = (
  { id, local, remote }: Accepted,
  listener: ListenerCounters,
  client: Client,
  geo: ClientGeo,
  acceptedAt: number
): ConnectionRecord => ({
  id,
  client,
  clientPort: remote.port,
  geo,
  local,
  announced: undefined,
  admitted: false,
  refusal: undefined,
  app: listener.app,
  sni: undefined,
  secured: undefined,
  listener,
  acceptedAt,
  route: undefined,
  attempts: 0,
  connectUs: undefined,
  countedIn: undefined,
  countedOut: undefined,
  tried: noneTried,
  failures: noFailures,
  ended: false,
  trace: undefined
})

/** Every connection between accept and end. */
export class Connections extends Context.Service<
  Connections,
  {
    readonly add: (record: ConnectionRecord) => void
    readonly get: (id: ConnectionId) => ConnectionRecord | undefined
    readonly remove: (record: ConnectionRecord) => void
    readonly size: () => number
    readonly all: () => Iterable<ConnectionRecord>
    /** Completes when there is none. */
    readonly awaitEmpty: Effect.Effect<void>
  }
>()("edgeproxy/traffic/Connections") {
  static readonly layer: Layer.Layer<Connections> = Layer.sync(Connections, () => {
    const records = new Map<ConnectionId, ConnectionRecord>()
    const waiters = new Set<Deferred.Deferred<void>>()
    return {
      add: (record) => void records.set(record.id, record),
      get: (id) => records.get(id),
      remove: (record) => {
        records.delete(record.id)
        if (records.size > 0) return
        for (const waiter of waiters) Deferred.doneUnsafe(waiter, Effect.void)
        waiters.clear()
      },
      size: () => records.size,
      all: () => records.values(),
      awaitEmpty: Effect.suspend(() => {
        if (records.size === 0) return Effect.void
        const waiter = Deferred.makeUnsafe<void>()
        waiters.add(waiter)
        return Deferred.await(waiter).pipe(Effect.ensuring(Effect.sync(() => waiters.delete(waiter))))
      })
    }
  })
}
