import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as net from "node:net"
import * as tls from "node:tls"
import { HealthProbe, type Probe, ProbeError, type ProbeTarget } from "../../src/backends/HealthProbe.ts"
import { clientFromText } from "../../src/domain/Client.ts"
import { encodeV1 } from "../../src/domain/ProxyProtocolV1.ts"
import { localHeader } from "../../src/domain/ProxyProtocolV2.ts"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import { codeOf, dialError, isDialCode } from "../../src/traffic/errno.ts"
import type { ProxyOut } from "../../src/traffic/ProxyHeaderOut.ts"
import { formatEndpoint } from "../../src/traffic/Transport.ts"
import { MAX_STATUS_LINE, statusOf } from "./statusLine.ts"

const reasons = {
  Refused: "refused",
  Timeout: "timeout",
  Reset: "reset",
  Unreachable: "unreachable"
} as const

const failedBy = (code: string, isTls: boolean): ProbeError => {
  if (isTls && !isDialCode(code)) return new ProbeError({ reason: "tls", detail: code })
  const { reason, source } = dialError(code)
  const known = source === "backend" && reason in reasons
  // The cast is what `in` has found out.
  return new ProbeError({ reason: known ? reasons[reason as keyof typeof reasons] : "local", detail: code })
}

const requestOf = (target: ProbeTarget, path: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    `Host: ${formatEndpoint(target)}`,
    "User-Agent: edgeproxy-health",
    "Accept: */*",
    "Connection: close",
    "\r\n"
  ].join("\r\n")

const statusError = (status: number | "malformed", expected: number): ProbeError =>
  status === "malformed"
    ? new ProbeError({ reason: "malformed", detail: "the answer is not HTTP/1" })
    : new ProbeError({ reason: "status", detail: `${status} instead of ${expected}` })

/** How a check introduces itself to backends that expect a PROXY header: as the proxy's own connection. */
const introductionOf = (socket: net.Socket, version: ProxyOut): Uint8Array | undefined => {
  if (version === "off") return undefined
  if (version === "v2") return localHeader
  // Receivers may refuse UNKNOWN, so that its own addresses are recommended (2.1 of the protocol's specification).
  const source = clientFromText(socket.localAddress ?? "")
  const destination = clientFromText(socket.remoteAddress ?? "")
  if (source === undefined || destination === undefined) return undefined
  return encodeV1({
    source: { ip: source.ip, port: socket.localPort ?? 0 },
    destination: { ip: destination.ip, port: socket.remotePort ?? 0 }
  })
}

const contexts = new WeakMap<BackendTls, tls.SecureContext>()

/** As the traffic's (H1), over what has connected. */
const secure = (socket: net.Socket, { address, host }: ProbeTarget, options: BackendTls): tls.TLSSocket => {
  const { ca, certificate, serverName = host, verify } = options
  const context =
    contexts.get(options) ??
    tls.createSecureContext({
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key })
    })
  contexts.set(options, context)
  return tls.connect({
    socket,
    host: address,
    secureContext: context,
    rejectUnauthorized: verify,
    ...(serverName === undefined ? {} : { servername: serverName })
  })
}

/** What checks have in common with the traffic. */
export interface ProbeWire {
  readonly proxyOut: ProxyOut
  readonly tls: (() => BackendTls) | undefined
}

const inClear: ProbeWire = { proxyOut: "off", tls: undefined }

/**
 * One check on a socket of its own. A check that has connected and said nothing ends with RST, which leaves no TIME_WAIT
 * behind on either side; one that has its status, or has said for whom it comes, ends as the kernel sees fit: FIN, or RST when more was sent than read.
 */
export const probe = (
  target: ProbeTarget,
  what: Probe,
  timeoutMs: number,
  wire: ProbeWire = inClear
): Effect.Effect<number, ProbeError> =>
  Effect.callback((resume) => {
    const startedAt = performance.now()
    let text = ""
    const socket = net.connect({
      host: target.address,
      port: target.port,
      noDelay: true,
      autoSelectFamily: false
    })

    let secured: tls.TLSSocket | undefined

    const close = (): void => {
      clearTimeout(deadline)
      for (const stream of secured === undefined ? [socket] : [socket, secured]) {
        stream.removeAllListeners()
        // What still fails on the way out is nobody's concern.
        stream.on("error", () => undefined)
      }
      secured?.destroy()
      if (what.kind === "tcp" && !socket.connecting && socket.bytesWritten === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
    const fail = (error: ProbeError): void => {
      close()
      resume(Effect.fail(error))
    }
    const pass = (): void => {
      const tookMs = performance.now() - startedAt
      close()
      resume(Effect.succeed(tookMs))
    }
    const deadline = setTimeout(
      () => fail(new ProbeError({ reason: "timeout", detail: `no answer within ${timeoutMs} ms` })),
      timeoutMs
    )

    const ask = (stream: net.Socket): void => {
      if (what.kind === "tcp") return pass()
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1", 0, MAX_STATUS_LINE)
        const status = statusOf(text)
        if (status === what.expectedStatus) pass()
        else if (status !== "incomplete") fail(statusError(status, what.expectedStatus))
      })
      stream.on("end", () => fail(new ProbeError({ reason: "closed", detail: "it ended without a status line" })))
      stream.write(requestOf(target, what.path))
    }
    const failed = (error: Error): void => fail(failedBy(codeOf(error), secured !== undefined))

    socket.on("error", failed)
    socket.on("connect", () => {
      const introduction = introductionOf(socket, wire.proxyOut)
      if (introduction !== undefined) socket.write(introduction)
      if (wire.tls === undefined) return ask(socket)
      secured = secure(socket, target, wire.tls())
      secured.on("error", failed)
      secured.once("secureConnect", () => void (secured === undefined ? undefined : ask(secured)))
    })
    return Effect.sync(close)
  })

/** Checks with real sockets. */
export const layer = (wire: ProbeWire = inClear): Layer.Layer<HealthProbe> =>
  Layer.succeed(HealthProbe, { probe: (target, what, timeoutMs) => probe(target, what, timeoutMs, wire) })
