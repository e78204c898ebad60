import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Termination } from "../domain/Termination.ts"
import type { BackendTls } from "../tls/BackendTls.ts"
import type { ServerTls } from "../tls/ServerTls.ts"
import type { Preread } from "./Preread.ts"

/**
 * The byte path. Accepting, dialling and copying happen behind this port, so that an engine may keep them outside the
 * JavaScript heap: everything across it is plain data, connections go by number, and no fiber lives while bytes flow.
 */

/** Names a connection in its engine: slot and generation. A stale id is never an error: operations on it do nothing. */
export type ConnectionId = number

/** Names a connection that was opened ahead; a number of its own kind. Stale ids are never an error here either. */
export type WarmId = number

/** An address as the operating system gives it: text and port. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface ListenOptions {
  readonly address: Endpoint
  /** An IPv6 wildcard address takes IPv4 clients too, unless this is set. */
  readonly ipv6Only: boolean
  /** Connections the kernel holds before they are accepted. */
  readonly backlog: number
  /** How long an accepted connection may wait for its `bridge`, and for the next one when a dial has failed. */
  readonly prerouteMs: number
  /** TCP keepalive on accepted connections; 0 is off. */
  readonly keepaliveMs: number
  /** Accepted connections tell which address they have come to: at a wildcard address that costs a system call each. */
  readonly tellLocal?: boolean
  /** None when not given. */
  readonly extras?: ListenExtras
  /** Its connections may be secured, and bridged to backends by TLS: for the engine that can. */
  readonly tls?: boolean
}

/** What kernels offer beside; engines that can't reach it do without. */
export interface ListenExtras {
  /** A client is accepted with its first bytes, or after this many milliseconds (TCP_DEFER_ACCEPT); 0 is off. */
  readonly deferAcceptMs: number
  /** Connections whose first bytes came with the SYN that may wait to be accepted (TCP_FASTOPEN, RFC 7413); 0 is off. */
  readonly fastOpen: number
  /** An accept queue for each thread, chosen by the kernel's hash (SO_REUSEPORT), instead of one for all. */
  readonly reusePort: boolean
}

export const noExtras: ListenExtras = { deferAcceptMs: 0, fastOpen: 0, reusePort: false }

export interface Accepted {
  readonly id: ConnectionId
  readonly remote: Endpoint
  /** The address it has connected to, where {@link ListenOptions.tellLocal} asks for it. */
  readonly local?: Endpoint
}

/** What a listener tells; plain callbacks, called outside any fiber, never to throw. */
export interface ListenerEvents {
  readonly onAccept: (batch: ReadonlyArray<Accepted>) => void
  readonly onEnd: (batch: ReadonlyArray<Ended>) => void
  /**
   * The backend reset the connection after the dial but before a single byte went either way (C1): the client is untouched
   * and waits for another `bridge`, under a fresh pre-route deadline. `WarmGone` when it had been opened ahead: then also when
   * the backend merely closed it.
   */
  readonly onUnbridged: (id: ConnectionId, error: DialError) => void
  /** The engine could not take connections that were waiting (file descriptors, memory); it goes on by itself. */
  readonly onAcceptError: (error: { readonly code: string; readonly count: number }) => void
}

export interface Listener {
  /** The address really bound: port 0 is resolved. */
  readonly address: Endpoint
  /** Stops accepting. The kernel's backlog holds where the engine can leave it alone; else newcomers are reset and counted. */
  readonly pause: (reason: string) => void
  readonly resume: () => void
  /** Takes what waits in the accept queue, then stops listening. Connections live on. Completes once the port is free. */
  readonly close: Effect.Effect<void>
}

export class ListenError extends Data.TaggedError("ListenError")<{
  readonly reason: "InUse" | "Denied" | "BadAddress" | "NoFds" | "Other"
  readonly address: Endpoint
  readonly detail: string
}> {
  override get message(): string {
    return `can't listen on ${formatEndpoint(this.address)}: ${this.detail}`
  }
}

/** Limits of a relay, all in milliseconds; 0 is off. */
export interface RelayLimits {
  /** No byte either way. */
  readonly idleMs: number
  /** One side has finished, the other is silent. */
  readonly finMs: number
  /** Bytes wait and the receiver takes none. */
  readonly stallMs: number
  readonly maxAgeMs: number
}

export interface BridgeOptions {
  readonly address: Endpoint
  readonly connectMs: number
  readonly keepaliveMs: number
  readonly limits: RelayLimits
  /** Sent to the backend ahead of the client's bytes; at most {@link MAX_PRELUDE} bytes, more is refused; not counted as traffic. */
  readonly prelude?: Uint8Array
  /**
   * A connection opened ahead, to be used instead of a dial (H5). When it is dead, unknown or was used before, the error is
   * `WarmGone`: the client is untouched, and the caller dials. Whatever comes of the call, the id is stale from then on.
   */
  readonly warm?: WarmId
  /** TLS to the backend, after the prelude, within `connectMs`; only for connections of a listener with `tls`. */
  readonly tls?: BackendTls
  /** The name of the backend's host that TLS asks for and verifies, if `tls` names none. */
  readonly host?: string
}

export const MAX_PRELUDE = 4_096

export interface WarmOptions {
  readonly address: Endpoint
  readonly connectMs: number
  /** TCP keepalive from the moment it is open; 0 is off. */
  readonly keepaliveMs: number
}

/** What becomes of connections opened ahead; plain callbacks, never called inside `warm` itself, never to throw. */
export interface WarmEvents {
  /** It is open, and may be bridged from now on. */
  readonly onWarm: (id: WarmId, connectUs: number) => void
  /**
   * It can't be bridged any more, and its id is stale: the dial has failed, with the error of a dial; or it was open and has
   * ended, `WarmGone`, by the backend (closed, reset, more than {@link MAX_GREETING} bytes said ahead) or by the proxy (its
   * data-plane thread died). Not told of one that was bridged or discarded.
   */
  readonly onWarmLost: (id: WarmId, error: DialError) => void
}

/**
 * Most bytes that a backend may send before it has a client (a greeting: SMTP, MySQL, SSH). They are its client's at the
 * hand-over.
 */
export const MAX_GREETING = 16_384
/** How to take a client in by TLS; the server's part of RFC 8446. */
export interface SecureOptions {
  /** Given as the same object as before, it isn't looked at again. */
  readonly tls: ServerTls
  /** The one of its pairs that is shown. */
  readonly pair: number
}

/** What was agreed on. */
export interface Secured {
  /** The application protocol, if any (ALPN, RFC 7301). */
  readonly protocol: string | undefined
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string
  readonly resumed: boolean
  /** The subject of the client's certificate, one attribute a line, when one was asked for. */
  readonly peer: string | undefined
}

/** Why a client could not be taken in by TLS. Each ends the connection; the end's code says more. */
export class SecureError extends Data.TaggedError("SecureError")<{
  readonly reason: "Deadline" | "Handshake" | "ClientCert" | "Gone" | "Unsupported"
  readonly code: string
}> {
  override get message(): string {
    return `TLS: ${this.reason} (${this.code})`
  }
}

/** The dial succeeded and bytes already flow. */
export interface Bridged {
  readonly connectUs: number
}

/**
 * Why a dial failed, and whose failure it is: only `backend` says anything about the backend's health. After a backend
 * error the client is untouched and the next candidate may be tried.
 */
export class DialError extends Data.TaggedError("DialError")<{
  readonly source: "client" | "backend" | "proxy"
  readonly reason:
    | "Refused"
    | "Timeout"
    | "Unreachable"
    | "Reset"
    | "NoPorts"
    | "NoFds"
    | "NoMem"
    | "Denied"
    | "Gone"
    | "WarmGone"
    | "Tls"
  readonly code: string
}> {
  override get message(): string {
    return `dial: ${this.reason} (${this.code})`
  }
}

/** Why the first bytes could not be had; `Deadline` and `Gone` mean that the connection has ended. */
export class PrereadError extends Data.TaggedError("PrereadError")<{
  readonly reason: "Deadline" | "TooLong" | "Malformed" | "Gone"
}> {
  override get message(): string {
    return `preread: ${this.reason}`
  }
}

/** The end of a connection, once for each accepted one, whatever became of it. */
export interface Ended extends Termination {
  readonly id: ConnectionId
  /** Client to backend. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** From the successful dial to the backend's first byte; undefined if there was none. */
  readonly firstByteUs: number | undefined
  readonly code: string | undefined
}

/**
 * `name-alert` tells a client that still waits to be taken in why: `NAME_ALERT`, then FIN. Of any other it is an orderly
 * end without a word.
 */
export type AbortHow = "fin" | "rst" | "name-alert"

/** Filled in place by `counts`, so that reading a thousand connections allocates nothing. */
export interface LiveCounts {
  bytesIn: number
  bytesOut: number
  idleMs: number
  /** Bytes the engine has read and could not write yet. */
  waiting: number
}

export interface Census {
  readonly connections: number
  /** Opened ahead or being opened, without a client. */
  readonly warm: number
  readonly listeners: number
  /** File descriptors of listeners, clients, backends and whatever else the engine needs. */
  readonly fds: number
  /** Data-plane threads besides the one that decides; 0 when there is none. */
  readonly threads: number
  /** Threads that died and were replaced. */
  readonly threadsLost: number
  readonly pipes: number
  /** Bytes the engine holds for receivers that are slow, pipes not counted. */
  readonly heldBytes: number
  /** Messages to its threads that wait because the threads do not keep up. */
  readonly waitingMessages: number
  /** Messages to its threads, and from them, that are in the rings between and not heard yet; 0 where there are no rings. */
  readonly toThreadsBytes: number
  readonly fromThreadsBytes: number
  /** Connections the engine accepted and reset at once because it was paused. */
  readonly resetWhilePaused: number
}

export class Transport extends Context.Service<
  Transport,
  {
    readonly engine: string
    /** The listener is closed with the scope. */
    readonly listen: (
      options: ListenOptions,
      events: ListenerEvents
    ) => Effect.Effect<Listener, ListenError, Scope.Scope>
    /**
     * The client's first bytes, still to be relayed: as many as it takes for the question, at most `max`. What
     * {@link consume} takes is gone.
     */
    readonly preread: (id: ConnectionId, question: Preread, max: number) => Effect.Effect<Uint8Array, PrereadError>
    /** Drops bytes that `preread` has shown. */
    readonly consume: (id: ConnectionId, bytes: number) => void
    /**
     * Takes the client in by TLS; what it sends later is what it has encrypted. The handshake is part of the time before the
     * first `bridge`. More of them than `maxHandshakes` wait.
     */
    readonly secure: (id: ConnectionId, options: SecureOptions) => Effect.Effect<Secured, SecureError>
    /** Dials and relays. Interrupting it gives the dial up and leaves the client as it is. */
    readonly bridge: (id: ConnectionId, options: BridgeOptions) => Effect.Effect<Bridged, DialError>
    /** Opens a connection ahead of any client. The id is good at once, for {@link discard}. */
    readonly warm: (options: WarmOptions, events: WarmEvents) => WarmId
    /** Closes one that was opened ahead, or gives its dial up. */
    readonly discard: (id: WarmId) => void
    /** False when the id is stale. */
    readonly counts: (id: ConnectionId, out: LiveCounts) => boolean
    /** Ends a connection in any phase; its end event says `by`, `phase`, `cause` as given. Idempotent. */
    readonly abort: (id: ConnectionId, how: AbortHow, why: Termination) => void
    readonly census: () => Census
  }
>()("edgeproxy/traffic/Transport") {}

/** `203.0.113.7:443` or `[2001:db8::1]:443`. */
export const formatEndpoint = ({ address, port }: Endpoint): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
