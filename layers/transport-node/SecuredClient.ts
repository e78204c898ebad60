import type * as net from "node:net"
import * as tls from "node:tls"
import { codeOf } from "../../src/traffic/errno.ts"
import { type Secured, SecureError, type SecureOptions } from "../../src/traffic/Transport.ts"
import { serverContext } from "./tlsContexts.ts"

/** What a client's TLS tells its owner. The socket below goes on telling of errors and its close. */
export interface SecuredEvents {
  readonly clientSecured: (result: Secured, stream: tls.TLSSocket) => void
  readonly clientRefused: (error: SecureError) => void
  /** False pauses the stream. */
  readonly clientChunk: (chunk: Buffer) => boolean
  readonly clientEnd: () => void
  readonly clientError: (code: string) => void
  readonly clientDrain: () => void
}

const owner = Symbol("owner")

type Owned = tls.TLSSocket & { [owner]?: SecuredEvents }

/** The part of Node's TLS that its own server uses to learn what the verification of a client's certificate has found. */
interface Verifying {
  readonly _handle?: { readonly verifyError?: () => Error | null }
}

function onSecure(this: Owned): void {
  // A certificate that was asked for is verified, and nobody has looked yet at what came of it.
  if (asked.has(this)) {
    const { _handle: handle } = this as Verifying
    // Whoever can't say that a certificate is good has not found it to be.
    const refused = handle?.verifyError === undefined ? new Error("not verified") : handle.verifyError()
    if (refused !== null && refused !== undefined) {
      const code = codeOf(refused)
      return this[owner]?.clientRefused(new SecureError({ reason: "ClientCert", code }))
    }
  }
  const { alpnProtocol } = this
  const secured: Secured = {
    protocol: typeof alpnProtocol === "string" && alpnProtocol !== "" ? alpnProtocol : undefined,
    version: this.getProtocol() ?? "",
    resumed: this.isSessionReused(),
    peer: asked.has(this) ? this.getPeerX509Certificate()?.subject : undefined
  }
  this[owner]?.clientSecured(secured, this)
}
function onData(this: Owned, chunk: Buffer): void {
  if (this[owner]?.clientChunk(chunk) === false) this.pause()
}
function onEnd(this: Owned): void {
  this[owner]?.clientEnd()
}
function onError(this: Owned, error: Error): void {
  this[owner]?.clientError(codeOf(error))
}
function onDrain(this: Owned): void {
  this[owner]?.clientDrain()
}

/** Those that are to show a certificate. */
const asked = new WeakSet<tls.TLSSocket>()

/** Begins the handshake with the bytes that have come; throws when the pair is not one. */
export const secureClient = (
  socket: net.Socket,
  early: Buffer,
  { pair, tls: options }: SecureOptions,
  events: SecuredEvents
): tls.TLSSocket => {
  const isAsked = options.clientCa !== undefined
  const secureContext = serverContext(options, pair)
  socket.pause()
  if (early.length > 0) socket.unshift(early)
  const secured: Owned = new tls.TLSSocket(socket, {
    isServer: true,
    secureContext,
    requestCert: isAsked,
    rejectUnauthorized: isAsked,
    ...(options.protocols.length === 0 ? {} : { ALPNProtocols: [...options.protocols] })
  })
  secured[owner] = events
  if (isAsked) asked.add(secured)
  secured.on("secure", onSecure)
  secured.on("data", onData)
  secured.on("end", onEnd)
  secured.on("error", onError)
  // After the handshake, errors come by this name only: `error` is for those that a tls.Server has given away.
  secured.on("_tlsError", onError)
  secured.on("drain", onDrain)
  return secured
}

/** Why a handshake has failed. */
export const handshakeError = (code: string): SecureError =>
  new SecureError({ reason: code.includes("RETURN_A_CERTIFICATE") ? "ClientCert" : "Handshake", code })
