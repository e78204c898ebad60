import type * as net from "node:net"
import * as tls from "node:tls"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import { codeOf } from "../../src/traffic/errno.ts"
import type { BridgeOptions } from "../../src/traffic/Transport.ts"
import { backendContext } from "./tlsContexts.ts"

/** What TLS to a backend tells its owner. */
export interface SecuredBackendEvents {
  readonly backendSecured: (stream: tls.TLSSocket) => void
  /** False pauses the stream. */
  readonly backendChunk: (stream: net.Socket, chunk: Buffer) => boolean
  readonly backendEnd: (stream: net.Socket) => void
  readonly backendError: (stream: net.Socket, code: string) => void
  readonly backendDrain: (stream: net.Socket) => void
  readonly backendClose: (stream: net.Socket) => void
}

const owner = Symbol("owner")

type Owned = tls.TLSSocket & { [owner]?: SecuredBackendEvents }

function onSecure(this: Owned): void {
  this[owner]?.backendSecured(this)
}
function onData(this: Owned, chunk: Buffer): void {
  if (this[owner]?.backendChunk(this, chunk) === false) this.pause()
}
function onEnd(this: Owned): void {
  this[owner]?.backendEnd(this)
}
function onError(this: Owned, error: Error): void {
  this[owner]?.backendError(this, codeOf(error))
}
function onDrain(this: Owned): void {
  this[owner]?.backendDrain(this)
}
function onClose(this: Owned): void {
  this[owner]?.backendClose(this)
}

/** Begins the handshake behind what was written to the socket, which has connected to `address`. */
export const secureBackend = (
  socket: net.Socket,
  { address, host }: Pick<BridgeOptions, "address" | "host">,
  options: BackendTls,
  /** What the client has agreed on, which its backend is to speak too. */
  protocol: string | undefined,
  events: SecuredBackendEvents
): tls.TLSSocket => {
  const serverName = options.serverName ?? host
  const secured: Owned = tls.connect({
    socket,
    host: address.address,
    secureContext: backendContext(options),
    rejectUnauthorized: options.verify,
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] })
  })
  secured[owner] = events
  secured.on("secureConnect", onSecure)
  secured.on("data", onData)
  secured.on("end", onEnd)
  secured.on("error", onError)
  secured.on("drain", onDrain)
  secured.on("close", onClose)
  return secured
}
