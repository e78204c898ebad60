import * as net from "node:net"
import type { BridgeOptions } from "../../src/traffic/Transport.ts"
import { codeOf } from "../../src/traffic/errno.ts"

/** What a socket tells its owner; one set of functions serves all sockets, since a dozen closures for each connection are felt. */
export interface ClientEvents {
  /** As for {@link BackendEvents.backendData}. */
  readonly clientData: (length: number) => boolean
  readonly clientEnd: () => void
  readonly clientError: (code: string) => void
  readonly clientDrain: () => void
  readonly clientClose: () => void
}

export interface BackendEvents {
  readonly backendConnect: (socket: net.Socket) => void
  /** `length` bytes are in {@link readBuffer}, until the call returns; false pauses the socket. */
  readonly backendData: (socket: net.Socket, length: number) => boolean
  readonly backendEnd: (socket: net.Socket) => void
  readonly backendError: (socket: net.Socket, code: string) => void
  readonly backendDrain: (socket: net.Socket) => void
  readonly backendClose: (socket: net.Socket) => void
}

/**
 * All sockets read into this one buffer; what was read is copied out at once, before the next read can happen. A
 * buffer of its own for each connection would cost 64 kB of memory each, and handing the shared one to `write` corrupts:
 * a write that the kernel does not take at once keeps pointing at it.
 */
export const readBuffer = Buffer.allocUnsafeSlow(65_536)

const owner = Symbol("owner")

type Owned<Events> = net.Socket & { [owner]?: Events }

function onClientEnd(this: Owned<ClientEvents>): void {
  this[owner]?.clientEnd()
}
function onClientError(this: Owned<ClientEvents>, error: Error): void {
  this[owner]?.clientError(codeOf(error))
}
function onClientDrain(this: Owned<ClientEvents>): void {
  this[owner]?.clientDrain()
}
function onClientClose(this: Owned<ClientEvents>): void {
  this[owner]?.clientClose()
}

/**
 * Makes an accepted socket tell its owner; it is read from now on. `net.Server` can't be told to accept sockets that read
 * into a given buffer, and those it makes take a fresh one of 64 kB for every read, which is the garbage collector's
 * undoing. So the connection is moved over to a socket of our own kind, by a handle that Node has but does not document;
 * what has none (any more) is left as it is.
 */
export const ownClient = (accepted: net.Socket, events: ClientEvents): net.Socket => {
  const { _handle: handle } = accepted as unknown as { _handle: object | null }
  Object.assign(accepted, { _handle: null })
  const options = {
    handle,
    allowHalfOpen: true,
    onread: { buffer: readBuffer, callback: (length: number) => events.clientData(length) }
  }
  const socket: Owned<ClientEvents> = new net.Socket(options as net.SocketConstructorOpts)
  socket[owner] = events
  socket.on("end", onClientEnd)
  socket.on("error", onClientError)
  socket.on("drain", onClientDrain)
  socket.on("close", onClientClose)
  return socket.resume()
}

function onBackendConnect(this: Owned<BackendEvents>): void {
  this[owner]?.backendConnect(this)
}
function onBackendEnd(this: Owned<BackendEvents>): void {
  this[owner]?.backendEnd(this)
}
function onBackendError(this: Owned<BackendEvents>, error: Error): void {
  this[owner]?.backendError(this, codeOf(error))
}
function onBackendDrain(this: Owned<BackendEvents>): void {
  this[owner]?.backendDrain(this)
}
function onBackendClose(this: Owned<BackendEvents>): void {
  this[owner]?.backendClose(this)
}

/** Begins a dial whose socket tells its owner, which may change. */
export const dialBackend = (
  { address, keepaliveMs }: Pick<BridgeOptions, "address" | "keepaliveMs">,
  events: BackendEvents
): net.Socket => {
  const socket: Owned<BackendEvents> = net.connect({
    host: address.address,
    port: address.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: keepaliveMs > 0,
    keepAliveInitialDelay: keepaliveMs,
    onread: { buffer: readBuffer, callback: (length) => socket[owner]?.backendData(socket, length) ?? true }
  })
  socket[owner] = events
  socket.on("connect", onBackendConnect)
  socket.on("end", onBackendEnd)
  socket.on("error", onBackendError)
  socket.on("drain", onBackendDrain)
  socket.on("close", onBackendClose)
  return socket
}

/** From now on the socket tells this one. */
export const handOver = (socket: net.Socket, events: BackendEvents): void => {
  const owned: Owned<BackendEvents> = socket
  owned[owner] = events
}
